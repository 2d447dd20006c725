"""Marks of the stored records, and what Kafka has lost of them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL next to this folder. Names are unqualified: the drift check makes the same in a scratch schema."""
    statements = (Path(__file__).parents[1] / "0007_generations.sql").read_text()
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(statements)


def downgrade() -> None:
    """Refuse: what Kafka has lost would be forgotten."""
    raise NotImplementedError("0007 cannot be undone; restore a backup made before it")
