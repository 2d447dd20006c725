"""The tables of the platform: transactions, the ledger, dead letters, purges, control, holes, CSV loads."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL next to this folder. Names are unqualified: the drift check makes the same in a scratch schema."""
    statements = (Path(__file__).parents[1] / "0001_foundation.sql").read_text()
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(statements)


def downgrade() -> None:
    """Refuse: going back would delete the transactions."""
    raise NotImplementedError("0001 is the first revision; restore a backup or drop the database instead")
