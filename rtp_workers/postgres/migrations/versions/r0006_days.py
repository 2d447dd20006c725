"""Days: those of purged rows, and an index that finds the rows of a day."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL next to this folder. Names are unqualified: the drift check makes the same in a scratch schema."""
    statements = (Path(__file__).parents[1] / "0006_days.sql").read_text()
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(statements)


def downgrade() -> None:
    """Refuse: restore a backup made before it."""
    raise NotImplementedError("0006 cannot be undone; restore a backup made before it")
