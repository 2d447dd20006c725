"""Does the ledger balance? The arithmetic of `rtp verify`, on one snapshot, as one line for the page."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rtp_workers.postgres import latest, queries
from rtp_workers.postgres.connection import Connection, connect
from rtp_workers.postgres.latest import Account
from rtp_workers.postgres.queries import Snapshot
from rtp_workers.reconcile import verify

# A full count of so much takes some 0.3 s; above that only the ledger's own arithmetic is looked at.
COUNTABLE_BYTES = 128_000_000


@dataclass(frozen=True, slots=True)
class Balance:
    """The answer.

    Attributes:
        balances: nothing disagrees.
        counted: whether rows and dead letters were counted, too.
        says: what was compared with what, in one or two sentences.
        problems: one sentence each, as `rtp verify` has them.
        checked_at_s: of which moment this is, Unix seconds.
    """

    balances: bool
    counted: bool
    says: str
    problems: list[str] = field(default_factory=list)
    checked_at_s: float = field(default_factory=lambda: round(time.time(), 1))


def read_balance(dsn: str, connection: Connection) -> Balance:
    """Looks at the ledger, and counts the tables where that is cheap.

    Args:
        dsn: for the connection that counts, in one read-only transaction.
        connection: in autocommit mode.

    Raises:
        TransientError: PostgreSQL is away. AttentionError: a table is missing.
    """
    if latest.table_bytes(connection) > COUNTABLE_BYTES:
        return of_account(latest.read_account(connection))
    counting = connect(dsn, "rtp-consumer-api-count", options="-c lock_timeout=1s")
    try:
        return of_snapshot(queries.snapshot(counting))
    finally:
        counting.close()


def of_snapshot(found: Snapshot) -> Balance:
    """Compares counted tables with the ledger."""
    problems = verify.compare_tables(found)
    if problems:
        return Balance(False, True, _not(problems), problems)
    rows, letters = sum(found.rows.values()), sum(found.dead_letters.values())
    inserted = sum(row.inserted for row in found.ledger)
    dead_lettered = sum(row.dead_lettered for row in found.ledger)
    return Balance(
        True,
        True,
        f"{rows:,} rows counted = {inserted:,} inserted − {found.purged_rows:,} purged; "
        f"{letters:,} dead letters counted = {dead_lettered:,} − {found.purged_dead_letters:,} purged; "
        f"{_offsets(found.ledger)}.",
    )


def of_account(account: Account) -> Balance:
    """Checks the ledger's own arithmetic; the tables are too large to be counted in passing."""
    problems = verify.arithmetic(account.rows)
    if problems:
        return Balance(False, False, _not(problems), problems)
    return Balance(
        True,
        False,
        f"{_offsets(account.rows)}. That makes {account.stored_rows:,} rows, "
        "too many to count here: `rtp verify` counts them.",
    )


def _offsets(rows: list[queries.LedgerRow]) -> str:
    offsets = sum(row.next_offset - row.first_offset for row in rows)
    named = (("inserted", "inserted"), ("duplicates", "duplicate"), ("dead_lettered", "dead-lettered"))
    sums = [f"{sum(getattr(row, name) for row in rows):,} {word}" for name, word in (*named, ("skipped", "skipped"))]
    return f"{offsets:,} offsets = {' + '.join(sums)}"


def _not(problems: list[str]) -> str:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return problems[0] + more
