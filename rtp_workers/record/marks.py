"""Marks: fingerprints of stored records, by which a log that was rewritten is told from the one that was stored.

Kafka may lose records that PostgreSQL has: the power failed before they reached Kafka's disk, or an older copy of its
data was put back. New records then take the offsets of the lost ones. So the ledger keeps a few marks of each
partition. Whoever reads the log compares them with what Kafka holds at these offsets.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import NamedTuple, Protocol

# Each mark is up to this many times as far from the end as the one after it; this many of them stay at most.
RATIO = 2.0
THINNED = 32
# Stands for offsets that were never read: they are compared with nothing, and neither is what lies before them.
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
    """Returns a record's mark: made of its timestamp, key, value and headers, each with its length."""
    parts: list[bytes | None] = [b"%d" % record.timestamp()[1], record.key(), record.value()]
    for name, value in record.headers() or ():
        parts += [name.encode("utf-8", "surrogatepass"), value]
    digest = blake2b(digest_size=8)
    for part in parts:
        digest.update(b"-" if part is None else b"%d:" % len(part))
        digest.update(part or b"")
    return Mark(record.offset(), digest.hexdigest())


def extended(marks: Sequence[Mark], new: Sequence[Mark], needed: Collection[int]) -> tuple[Mark, ...]:
    """Returns the marks after a batch; thinned out, so that there are some dozens however long the log is.

    The further a mark is from the end, the further it may be from the next one: so the marks tell, within a factor of
    `RATIO`, how much of the end of a log was lost.

    Args:
        marks: before the batch, by offset.
        new: of the batch, by offset; its last record is always among them.
        needed: offsets of marks that must stay, however close they are.
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
    """Reads what `to_text` has written; None gives no marks, and what is no mark is left out."""
    found = []
    for word in (text or "").split():
        offset, _, digest = word.partition(":")
        if offset.isascii() and offset.isdigit() and digest:
            found.append(Mark(int(offset), digest))
    return tuple(found)
