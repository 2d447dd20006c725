"""The balance as the page shows it: the judgements of `reconcile/balance.py` in one line."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rtp_workers.postgres.account import Account, Snapshot, read_account, snapshot, summed, table_bytes
from rtp_workers.postgres.connection import Connection
from rtp_workers.reconcile import balance

# Counting this many rows takes about 0.3 s. In larger tables, only the ledger's own arithmetic is checked.
COUNTABLE_BYTES = 128_000_000


@dataclass(frozen=True, slots=True)
class BalanceLine:
    """Whether the ledger balances.

    Attributes:
        balances: True if nothing disagrees.
        counted: True if rows and dead letters were counted too.
        says: what was compared with what, in one or two sentences.
        problems: one sentence each, as in `rtp verify`.
        checked_at_s: when it was checked, Unix seconds.
    """

    balances: bool
    counted: bool
    says: str
    problems: list[str] = field(default_factory=list)
    checked_at_s: float = field(default_factory=lambda: round(time.time(), 1))


def read_balance(connection: Connection) -> BalanceLine:
    """Checks the ledger, and counts the tables if that is cheap.

    Args:
        connection: in autocommit mode. A count may take longer than the session's statement_timeout.

    Raises:
        TransientError: PostgreSQL is away.
        AttentionError: a table is missing.
    """
    if table_bytes(connection) > COUNTABLE_BYTES:
        return of_account(read_account(connection))
    return of_snapshot(snapshot(connection))


def of_snapshot(found: Snapshot) -> BalanceLine:
    """Compares the counted tables with the ledger."""
    account, counted = found.account, found.counted
    sums = summed(account.ledger)
    return _line(
        balance.tables(found),
        f"{counted.rows:,} rows counted = {sums.inserted:,} inserted − {account.purged_rows:,} purged; "
        f"{counted.dead_letters:,} dead letters counted = {sums.dead_lettered:,} − {account.purged_dead_letters:,} "
        f"purged; {_offsets(account)}.",
        counted=True,
    )


def of_account(account: Account) -> BalanceLine:
    """Checks only the ledger's own arithmetic, for tables that are too large to count quickly."""
    return _line(
        balance.offsets(account),
        f"{_offsets(account)}. That makes {account.stored_rows:,} rows, too many to count here: "
        "`rtp verify` counts them.",
        counted=False,
    )


def _line(problems: list[str], good: str, *, counted: bool) -> BalanceLine:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return BalanceLine(not problems, counted, problems[0] + more if problems else good, problems)


def _offsets(account: Account) -> str:
    sums = summed(account.ledger)
    return (
        f"{sum(row.offsets for row in account.ledger):,} offsets = {sums.inserted:,} inserted + "
        f"{sums.duplicates:,} duplicate + {sums.dead_lettered:,} dead-lettered + {sums.skipped:,} skipped"
    )
