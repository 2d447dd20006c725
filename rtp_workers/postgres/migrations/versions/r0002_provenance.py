"""Where a row came from: topic, generation of its log, load; and amounts with 18 digits after the point."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL next to this folder. Names are unqualified: the drift check makes the same in a scratch schema."""
    statements = (Path(__file__).parents[1] / "0002_provenance.sql").read_text()
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(statements)


def downgrade() -> None:
    """Refuse: offsets that two generations share would collide."""
    raise NotImplementedError("0002 cannot be undone; restore a backup made before it")
