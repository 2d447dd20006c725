"""Ledger and tables counted for a balance, cheaply enough to be asked at any time; read only."""

from __future__ import annotations

from dataclasses import dataclass

from rtp_workers.postgres.connection import Connection, translated
from rtp_workers.postgres.queries import PRIMARY_KEYS, LedgerRow, key_holds, ledger_rows

_ROWS = "select count(*) from transactions"
_DEAD_LETTERS = "select count(*) from dead_letters"
_PURGED = "select coalesce(sum(purged_rows), 0)::bigint, coalesce(sum(purged_dead_letters), 0)::bigint from purges"
_LAST_WRITE = "select extract(epoch from now() - max(updated_at))::float8 from ingest_ledger"
_RECENT = "select count(*) from transactions where ingested_at > now() - make_interval(secs => %(window_s)s)"
_REASONS = """
select reason, count(*) from dead_letters where first_seen_at > now() - make_interval(secs => %(window_s)s)
group by reason order by count(*) desc, reason
"""


@dataclass(frozen=True, slots=True)
class Balance:
    """What must agree, of one instant.

    Attributes:
        ledger: every row, history of deleted topics included.
        rows: counted in `transactions`.
        dead_letters: counted in `dead_letters`.
        purged_rows: deleted by `rtp purge` so far.
        purged_dead_letters: the same of dead letters.
    """

    ledger: list[LedgerRow]
    rows: int
    dead_letters: int
    purged_rows: int
    purged_dead_letters: int

    @property
    def expected_rows(self) -> int:
        """Rows that the ledger says there are."""
        return sum(row.inserted for row in self.ledger) - self.purged_rows

    @property
    def expected_dead_letters(self) -> int:
        """Dead letters that the ledger says there are."""
        return sum(row.dead_lettered for row in self.ledger) - self.purged_dead_letters


@dataclass(frozen=True, slots=True)
class Recent:
    """What came in the last `window_s` seconds: rows, and dead letters by reason."""

    window_s: float
    rows: int
    dead_letters: int
    reasons: dict[str, int]

    @property
    def dead_letter_ratio(self) -> float:
        """Share of dead letters among both; 0 where nothing came."""
        total = self.rows + self.dead_letters
        return self.dead_letters / total if total else 0.0


def read_balance(connection: Connection) -> Balance:
    """Counts tables and reads the ledger as of one instant.

    Args:
        connection: any role that may select, in autocommit mode. It is left so.

    Raises:
        TransientError: the server is away, or too slow for its statement timeout. AttentionError: a table is missing.
    """
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
    try:
        with translated("count tables and ledger"), connection.cursor() as cursor:
            ledger = ledger_rows(connection)
            cursor.execute(_ROWS)
            rows = cursor.fetchall()[0][0]
            cursor.execute(_DEAD_LETTERS)
            dead_letters = cursor.fetchall()[0][0]
            cursor.execute(_PURGED)
            purged_rows, purged_dead_letters = cursor.fetchall()[0]
        return Balance(ledger, rows, dead_letters, purged_rows, purged_dead_letters)
    finally:
        if not connection.closed:
            connection.rollback()
            connection.set_session(isolation_level="DEFAULT", readonly="default", autocommit=True)


def broken_keys(connection: Connection) -> list[str]:
    """Returns the tables whose primary key is missing, invalid or on other columns: a look into the catalog."""
    with translated("look at the primary keys"), connection.cursor() as cursor:
        return [table for table, columns in PRIMARY_KEYS.items() if not key_holds(cursor, table, columns)]


def quiet_s(connection: Connection) -> float | None:
    """Returns the seconds since the ledger last moved, or None where it never has."""
    with translated("read when the ledger last moved"), connection.cursor() as cursor:
        cursor.execute(_LAST_WRITE)
        age_s = cursor.fetchall()[0][0]
    return None if age_s is None else max(0.0, age_s)


def recent(connection: Connection, window_s: float) -> Recent:
    """Counts what came lately; reads the rows of that time only, found through their index."""
    with translated("count what came lately"), connection.cursor() as cursor:
        cursor.execute(_RECENT, {"window_s": window_s})
        rows = cursor.fetchall()[0][0]
    reasons = recent_reasons(connection, window_s)
    return Recent(window_s, rows, sum(reasons.values()), reasons)


def recent_reasons(connection: Connection, window_s: float) -> dict[str, int]:
    """Returns the dead letters of the last `window_s` seconds by reason, most frequent first; found by their index."""
    with translated("count the dead letters that came lately"), connection.cursor() as cursor:
        cursor.execute(_REASONS, {"window_s": window_s})
        return dict(cursor.fetchall())
