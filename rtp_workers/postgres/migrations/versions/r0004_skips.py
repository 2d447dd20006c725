"""Offsets that a person steps over: the reason is kept."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL next to this folder. Names are unqualified: the drift check makes the same in a scratch schema."""
    statements = (Path(__file__).parents[1] / "0004_skips.sql").read_text()
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(statements)


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("log_holes", "reason")
