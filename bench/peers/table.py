"""The peers' table, which equals ours in columns, key, indexes and constraints, and what can be read from a table."""

from __future__ import annotations

from typing import Any

from rtp_workers.postgres.connection import Connection

PEER_TABLE = "peer_transactions"
TABLES = ("transactions", PEER_TABLE)
CREATE = """
create table if not exists peer_transactions (like transactions including all);
alter table peer_transactions
    alter source drop not null, alter kafka_partition drop not null, alter kafka_offset drop not null
"""
EMPTY = "truncate transactions, peer_transactions, ingest_ledger, dead_letters"
# Every row knows the commit that made it, so nothing has to be polled while a contestant runs.
COMMITS = {
    table: (
        "select extract(epoch from pg_xact_commit_timestamp(xmin))::float8 as moment, count(*) "  # noqa: S608 - names of our own
        f"from {table} group by moment order by moment"
    )
    for table in TABLES
}
CONTENT = {
    table: (
        "select transaction_id, occurred_at, amount, customer_id, merchant, category, currency, payment_method, "  # noqa: S608 - names of our own
        f"status, country from {table}"
    )
    for table in TABLES
}
COUNT = {table: f"select count(*) from {table}" for table in TABLES}  # noqa: S608 - names of our own
ACTIVITY = "select coalesce(sum(n_tup_ins), 0), coalesce(sum(n_tup_upd), 0) from pg_stat_user_tables where relname = %s"


def create(owner: Connection) -> None:
    """Creates the peers' table. The columns that only we fill may be null in it."""
    _run(owner, CREATE)


def empty(owner: Connection) -> None:
    """Empties both tables, the ledger and the dead letters."""
    _run(owner, EMPTY)


def commits(owner: Connection, table: str) -> list[tuple[float, int]]:
    """Returns the moment (epoch seconds) and the rows of every commit that is still visible, in order."""
    return [(float(moment), int(rows)) for moment, rows in _rows(owner, COMMITS[table])]


def content(owner: Connection, table: str) -> list[tuple[object, ...]]:
    """Returns the record of every row; the id comes first."""
    return _rows(owner, CONTENT[table])


def count(owner: Connection, table: str) -> int:
    """Returns the number of rows."""
    return int(_rows(owner, COUNT[table])[0][0])


def dead_letters(owner: Connection) -> int:
    """Returns how many records our consumer has refused."""
    return int(_rows(owner, "select count(*) from dead_letters")[0][0])


def activity(owner: Connection, table: str) -> tuple[int, int]:
    """Returns rows inserted and rows overwritten since the table exists, as PostgreSQL's statistics have them.

    They are about a second behind and count what was rolled back, too. Reading them costs nothing.
    """
    with owner.cursor() as cursor:
        cursor.execute(ACTIVITY, (table,))
        inserted, updated = cursor.fetchone() or (0, 0)
    owner.commit()
    return int(inserted), int(updated)


def _run(owner: Connection, statement: str) -> None:
    with owner.cursor() as cursor:
        cursor.execute(statement)
    owner.commit()


def _rows(owner: Connection, statement: str) -> list[tuple[Any, ...]]:
    with owner.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchall()
    owner.commit()
    return found
