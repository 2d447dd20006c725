"""Alembic's entry: runs the revisions on the connection and in the transaction that ``migrate`` has opened."""

from __future__ import annotations

import logging

from alembic import context

# What was applied is the return value of `migrate`; the drift check migrates too, which a log would make look real.
logging.getLogger("alembic").setLevel(logging.WARNING)
context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema=context.config.attributes["schema"],
    transactional_ddl=True,
)
context.run_migrations()
