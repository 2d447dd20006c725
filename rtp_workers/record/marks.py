"""Marks: fingerprints of stored records. They show whether Kafka's log is still the one whose records are stored.

Kafka can lose records that PostgreSQL has: the power failed before they reached Kafka's disk, or somebody restored an
older copy of its data. New records then take the offsets of the lost ones. So the ledger keeps a few marks for each
partition. Whoever reads the log compares them with what Kafka holds at these offsets.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import NamedTuple, Protocol

# A mark is up to RATIO times as far from the end as the mark after it. At most THINNED marks are kept.
RATIO = 2.0
THINNED = 32
# Stands for offsets that were never read. They are not compared, nor are the marks before them.
SKIPPED = "skipped"


class MarkedRecord(Protocol):
    """A record as Kafka's client hands it over."""

    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Sequence[tuple[str, bytes | None]] | None: ...


class Mark(NamedTuple):
    """The fingerprint of the record at an offset: 16 hexadecimal digits."""

    offset: int
    digest: str


def mark_of(record: MarkedRecord) -> Mark:
    """Returns a record's mark: a hash of its timestamp, key, value and headers, each with its length."""
    parts: list[bytes | None] = [b"%d" % record.timestamp()[1], record.key(), record.value()]
    for name, value in record.headers() or ():
        parts += [name.encode("utf-8", "surrogatepass"), value]
    digest = blake2b(digest_size=8)
    for part in parts:
        digest.update(b"-" if part is None else b"%d:" % len(part))
        digest.update(part or b"")
    return Mark(record.offset(), digest.hexdigest())


def extended(marks: Sequence[Mark], new: Sequence[Mark], needed: Collection[int]) -> tuple[Mark, ...]:
    """Returns the marks after a batch, thinned out: some dozens of them, however long the log is.

    The further a mark is from the end, the further it may be from the next one. So the marks show how much was lost
    at the end of a log, to within a factor of `RATIO`.

    Args:
        marks: before the batch, by offset.
        new: marks of the batch, by offset; that of its last record is always among them.
        needed: offsets of marks that must be kept, however close together they are.
    """
    every = [*marks, *new]
    last = every.pop()
    kept: list[Mark] = []
    left, nearest = THINNED, 1
    for index in range(len(every) - 1, -1, -1):
        mark = every[index]
        further = last.offset - every[index - 1].offset if index else None
        thinned = mark.offset not in needed
        if not thinned or (left and (further is None or further > RATIO * nearest)):
            kept.append(mark)
            nearest = last.offset - mark.offset
            left -= thinned
    return (*reversed(kept), last)


def to_text(marks: Sequence[Mark]) -> str:
    """Returns the marks as the ledger stores them: ``offset:digest``, separated by blanks."""
    return " ".join(f"{offset}:{digest}" for offset, digest in marks)


def from_text(text: str | None) -> tuple[Mark, ...]:
    """Reads what `to_text` has written. None gives no marks. Words that are not marks are left out."""
    found = []
    for word in (text or "").split():
        offset, _, digest = word.partition(":")
        if offset.isascii() and offset.isdigit() and digest:
            found.append(Mark(int(offset), digest))
    return tuple(found)
