"""Decides whether a new file fits the stored rows of its source, by what both have in common. Pure functions.

Two overlapping exports of one account have the same rows on the days that both cover. Exports of two accounts share a
fee now and then. A row that is mistaken for a stored one is lost silently, so doubtful cases become questions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtp_workers.batch.probe import Probe, ProbeRow
from rtp_workers.postgres.csv_sources import CsvSource, StoredRow

MISSES_PER_HIT = 0.25  # allows for late bookings and corrections on days that both files cover
FEW_HITS = 2  # with at least this many, a single row that only one file has counts as a late booking
REPEATED_SHARE = 0.5
REPEATED_SHARE_OF_A_NAMED_SOURCE = 0.9  # somebody has said that it is another account
FEWEST_REPEATS = 3
SHOWN_ROWS = 3


@dataclass(frozen=True, slots=True)
class Overlap:
    """The comparison of a file's rows with stored ones.

    Attributes:
        hits: rows of the file whose id is stored.
        inside_hits: how many of these lie on days that both sides cover completely.
        file_only: rows of the file that are not stored, though a stored file covers their day completely.
        stored_only: how many stored rows the file lacks, though it covers their day completely.
    """

    hits: tuple[ProbeRow, ...]
    inside_hits: int
    file_only: tuple[ProbeRow, ...]
    stored_only: int

    @property
    def is_one_series(self) -> bool:
        """True if the file and the stored rows agree well enough to be exports of one account."""
        misses = len(self.file_only) + self.stored_only
        if not self.hits or not misses:
            return True
        one_sided = not self.file_only or not self.stored_only
        if misses == 1 and one_sided and self.inside_hits >= FEW_HITS:
            return True
        return misses <= MISSES_PER_HIT * self.inside_hits


def compare(
    found: Probe, stored: Mapping[str, StoredRow], memory: CsvSource, count_between: Callable[[str, str], int]
) -> Overlap:
    """Compares a file with the stored rows of its source.

    Args:
        found: rows of the file.
        stored: the stored rows with the same ids, by id.
        memory: the source. Its spans say which days its files cover.
        count_between: returns how many stored rows of the source lie strictly between two days.
    """
    hits = tuple(row for row in found.rows if row.transaction_id in stored)
    if not hits:
        return Overlap((), 0, (), 0)
    days = {row.day for row in found.rows}
    first, last = min(days), max(days)
    covered_days = {day for day in days if any(begin < day < end for begin, end in memory.spans)}
    covered = [row for row in found.rows if row.day in covered_days]
    file_only = tuple(row for row in covered if row.transaction_id not in stored)
    inside_file = sum(first < row.day < last for row in hits)
    stored_only = max(0, count_between(first, last) - inside_file) if found.whole else 0
    return Overlap(hits, len(covered) - len(file_only), file_only, stored_only)


def cut_off(found: Probe, overlap: Overlap, stored: Mapping[str, StoredRow], memory: CsvSource) -> list[ProbeRow]:
    """Returns rows on a cut-off day that equal a stored row except in volatile cells, so may be another purchase.

    If one export ends and the next begins on the same day, neither may have all rows of that day. Two equal purchases
    would then each be the first of their kind in their file, and get the same id.
    """
    ends = {end for _, end in memory.spans} & {found.first_day}
    starts = {begin for begin, _ in memory.spans} & {found.last_day}
    days = ends | starts
    return [row for row in overlap.hits if row.day in days and _volatile_differ(row, stored[row.transaction_id])]


def _volatile_differ(row: ProbeRow, stored: StoredRow) -> bool:
    mine: dict[str, Any] = row.attributes or {}
    theirs: dict[str, Any] = json.loads(stored.attributes or "{}")
    return row.status != stored.status or any(mine[name] != theirs[name] for name in mine.keys() & theirs.keys())


def repeats(rows: Sequence[ProbeRow], alike: Mapping[int, tuple[str, str]], *, named: bool) -> str | None:
    """Returns the source whose transactions the file repeats under other ids, or None.

    Args:
        rows: the rows that were looked up.
        alike: position in `rows` -> id and source of a stored row with the same instant, amount and merchant.
        named: True if a person has given the file's `id_source`.
    """
    others = {at: source for at, (stored_id, source) in alike.items() if stored_id != rows[at].transaction_id}
    if len(others) < min(FEWEST_REPEATS, len(rows)):
        return None
    days = [rows[at].day for at in others]
    between = sum(min(days) <= row.day <= max(days) for row in rows)
    share = REPEATED_SHARE_OF_A_NAMED_SOURCE if named else REPEATED_SHARE
    if len(others) < share * between:
        return None
    sources = sorted(others.values())
    return max(set(sources), key=sources.count)


def ids_that_repeat(rows: Sequence[ProbeRow]) -> tuple[ProbeRow, ProbeRow] | None:
    """Returns two rows with the same id and different content, or None."""
    seen: dict[str, ProbeRow] = {}
    for row in rows:
        before = seen.setdefault(row.transaction_id, row)
        if before is not row and before != row:
            return before, row
    return None


def shown(rows: Sequence[ProbeRow]) -> str:
    """Returns the first rows as readable text."""
    texts = [f"{row.day} {row.merchant or ''} {row.amount}".replace("  ", " ") for row in rows]
    more = f" and {len(texts) - SHOWN_ROWS:,} more" if len(texts) > SHOWN_ROWS else ""
    return "; ".join(texts[:SHOWN_ROWS]).replace('"', "") + more
