"""A memory for each CSV source, and for each load how its records ended."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL next to this folder. Names are unqualified: the drift check makes the same in a scratch schema."""
    statements = (Path(__file__).parents[1] / "0005_csv_sources.sql").read_text()
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(statements)


def downgrade() -> None:
    """Refuse: rows would lose what tells which load they came from."""
    raise NotImplementedError("0005 cannot be undone; restore a backup made before it")
