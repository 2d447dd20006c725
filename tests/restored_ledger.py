"""Takes PostgreSQL back to an earlier state, as a restored backup does."""

from __future__ import annotations

from rtp_workers.postgres.connection import connect
from tests.conftest import Stack
from tests.reading import query

TABLES = ("transactions", "ingest_ledger", "dead_letters")


def keep_a_copy(stack: Stack) -> None:
    """Keeps what the tables hold now. Nothing may be written meanwhile."""
    for table in TABLES:
        query(stack, f"drop table if exists copy_of_{table}")
        query(stack, f"create table copy_of_{table} as table {table}")


def restore(stack: Stack) -> None:
    """Puts the copy in place of what is stored, in one transaction."""
    connection = connect(stack.endpoints.need("postgres_dsn"), "rtp-test")
    try:
        with connection, connection.cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"delete from {table}")  # noqa: S608 - fixed names
                cursor.execute(f"insert into {table} table copy_of_{table}")
    finally:
        connection.close()
