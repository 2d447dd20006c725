"""How `ledger_balances` counts a large table without a long statement: in pieces, one at each tick of a sensor."""

from __future__ import annotations

from dataclasses import astuple, fields
from datetime import UTC, datetime, timedelta

import dagster as dg

from rtp_dagster.by_itself import last_evaluation, starts_by_itself
from rtp_dagster.platform import PROBE_S, Platform
from rtp_dagster.ticks import Event
from rtp_dagster.transactions.verdicts import COUNTED_UNTIL, TRANSACTIONS, judge_pieces
from rtp_workers.errors import RtpError
from rtp_workers.postgres.account import Account
from rtp_workers.postgres.piecewise import PieceCount, continued

BALANCES = dg.AssetCheckKey(TRANSACTIONS, "ledger_balances")
COUNTED_ROWS = 5_000_000  # a larger table is counted in pieces, unless a person asks for the check
TRUSTED = timedelta(days=1)  # for so long, runs that start by themselves rely on the last count


def is_large(account: Account) -> bool:
    """Tells whether a count of the table takes so long that it is made in pieces."""
    return account.stored_rows > COUNTED_ROWS


def count_piece(platform: Platform, account: Account, stored: object) -> tuple[list[Event], object]:
    """Counts one more piece.

    Args:
        platform: where PostgreSQL is.
        account: the ledger now.
        stored: what the last call returned for the cursor; anything else begins a new count.

    Returns:
        The evaluation of `ledger_balances`, if a count is done, and the value for the cursor.
    """
    try:
        with platform.reader(PROBE_S) as connection:
            count = continued(connection, _read(stored))
    except RtpError:
        return [], stored  # the next tick counts the same piece
    if not count.is_done or not (count.agrees or count.fails):
        return [], astuple(count)
    return [judge_pieces(count, account).evaluation(TRANSACTIONS, BALANCES.name)], astuple(count)


def counted_until(instance: dg.DagsterInstance, tags: dict[str, str], now: datetime | None = None) -> str | None:
    """Returns up to when rows were counted in pieces, if a run with these tags may rely on that; None: count now.

    A run that a person has started counts, and so does every run after a failure, or without a count for `TRUSTED`.
    """
    if not starts_by_itself(tags):
        return None
    last = last_evaluation(instance, BALANCES)
    until = last.metadata.get(COUNTED_UNTIL) if last is not None and last.passed else None
    if until is None or not isinstance(until.value, str):
        return None
    return until.value if (now or datetime.now(UTC)) - datetime.fromisoformat(until.value) < TRUSTED else None


def _read(stored: object) -> PieceCount | None:
    if not isinstance(stored, list) or len(stored) != len(fields(PieceCount)):
        return None
    return PieceCount(*stored)
