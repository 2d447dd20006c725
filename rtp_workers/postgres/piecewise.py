"""Counts `transactions` in pieces, each in a part of a second, and compares the sum with the ledger.

Rows are never updated and never move. So what an earlier call has counted is still there, unless something was purged;
then the count begins again. Rows that arrive meanwhile do not count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rtp_workers.postgres.account import one_instant, read_account
from rtp_workers.postgres.connection import Connection, Cursor, translated

PIECE_BLOCKS = 32_768  # 256 MB, about a million rows
# A row carries the time at which its transaction began. The consumer's take milliseconds, or 15 s when it is stuck.
SETTLED = "20 seconds"

_BEGIN = f"""
select (now() - interval '{SETTLED}')::text, pg_relation_size('transactions') / current_setting('block_size')::bigint
"""
_LATER = "select count(*) from transactions where ingested_at > %s::timestamptz"
_PIECE = """
select count(*) from transactions
where ctid >= %(first)s::tid and ctid < %(last)s::tid and ingested_at <= %(until)s::timestamptz
"""


@dataclass(frozen=True, slots=True)
class PieceCount:
    """A count that has come so far.

    Attributes:
        until: rows whose transaction began up to this time are counted; as text.
        expected: how many of them there are, as the ledger says.
        purged_rows: how many rows had been purged when the count began.
        blocks: where the table ended then.
        suspected: the count before this one did not agree.
        block: where the count continues.
        counted: rows so far.
        letters_missing: how many dead letters the ledger has and their table has not, at the end of the count.
    """

    until: str
    expected: int
    purged_rows: int
    blocks: int
    suspected: bool = False
    block: int = 0
    counted: int = 0
    letters_missing: int = 0

    @property
    def is_done(self) -> bool:
        """True when every row is counted."""
        return self.block >= self.blocks

    @property
    def agrees(self) -> bool:
        """Whether the ledger explains both tables; it says something only when the count is done."""
        return self.counted == self.expected and not self.letters_missing

    @property
    def fails(self) -> bool:
        """True if two counts in a row have disagreed.

        One alone may be wrong: a transaction was open for very long when it began, or an administrator has moved all
        rows, as ``VACUUM FULL`` does.
        """
        return self.is_done and self.suspected and not self.agrees


def continued(connection: Connection, before: PieceCount | None) -> PieceCount:
    """Counts one more piece; begins a new count if there is none, or the last one is done or no longer valid.

    Args:
        connection: any role that may select, in autocommit mode.
        before: what the last call returned.

    Raises:
        TransientError: the server is away, or too slow for its statement timeout.
    """
    with translated("count a piece of transactions"), one_instant(connection) as cursor:
        account = read_account(connection)
        count = before
        if count is None or count.is_done or count.purged_rows != account.purged_rows:
            count = _begun(cursor, account.stored_rows, account.purged_rows)
            suspected = before is not None and (before.suspected if not before.is_done else not before.agrees)
            count = replace(count, suspected=suspected)
        last = min(count.block + PIECE_BLOCKS, count.blocks)
        cursor.execute(_PIECE, {"first": f"({count.block},0)", "last": f"({last},0)", "until": count.until})
        count = replace(count, block=last, counted=count.counted + int(cursor.fetchall()[0][0]))
        if count.is_done:
            cursor.execute("select count(*) from dead_letters")
            count = replace(count, letters_missing=account.stored_dead_letters - int(cursor.fetchall()[0][0]))
        return count


def _begun(cursor: Cursor, stored_rows: int, purged_rows: int) -> PieceCount:
    cursor.execute(_BEGIN)
    until, blocks = cursor.fetchall()[0]
    cursor.execute(_LATER, (until,))
    return PieceCount(until, stored_rows - int(cursor.fetchall()[0][0]), purged_rows, blocks)
