"""A batch on its way from Kafka into one PostgreSQL transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from rtp_workers.postgres.connection import Cursor
from rtp_workers.record.marks import Mark


class KafkaRecord(Protocol):
    """A record as Kafka's client returns it; a dead letter keeps these parts of it."""

    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def headers(self) -> Sequence[tuple[str, bytes | None]] | None: ...


@dataclass(slots=True)
class Span:
    """The offsets of one partition that a batch stands for: ``next_offset - start_offset`` of them.

    Attributes:
        epoch: number of the assignment in which they came.
        skipped: how many of them have no record (transaction markers, aborted or compacted records).
        generation: the generation of the partition's log to which they belong.
        marks: fingerprints for the ledger, as of the end of the span; None if the span was never read (a hole, or
            offsets that a person has skipped).
    """

    start_offset: int
    next_offset: int
    epoch: int
    skipped: int = 0
    generation: int = 0
    marks: tuple[Mark, ...] | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused record with its reason: a short code, and one sentence."""

    record: KafkaRecord
    reason: str
    detail: str


@dataclass(slots=True)
class Batch:
    """What one transaction writes.

    Attributes:
        topic: the topic's name.
        topic_id: Kafka's own id of the topic.
        spans: by kafka_partition; every offset in them is a line, a dead letter or skipped.
        lines: COPY lines without line ends: the record's fields, then the provenance columns, ``load_id`` last.
        records: the record behind each line, in the same order.
        dead_letters: records refused before PostgreSQL saw them.
        load_ids: loads that the records name, dead letters included. Nobody has checked yet that they exist.
        judged: every line has already passed each rule of the record; only PostgreSQL can still find a fault.
        appended_ms: when Kafka appended the oldest record of each poll (Unix ms), for the latency.
        await_turn: called when the rows have landed. It waits for the batch before this one, or raises if this one has
            to be rolled back.
        confirm: called before the ledger moves. It raises if the records may belong to a topic other than `topic_id`.
    """

    topic: str
    topic_id: str
    spans: dict[int, Span] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    records: list[KafkaRecord] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    load_ids: set[str] = field(default_factory=set)
    judged: bool = False
    appended_ms: list[int] = field(default_factory=list)
    await_turn: Callable[[Cursor], None] = lambda _: None
    confirm: Callable[[], None] = lambda: None

    def __bool__(self) -> bool:
        return any(span.next_offset > span.start_offset for span in self.spans.values())


def halves(batch: Batch) -> tuple[Batch, Batch] | None:
    """Splits a batch into two that can be written one after the other; None if it has one record or none.

    If there are several partitions, each goes to one of the two. A single partition is cut at its middle record.
    """
    if len(batch.spans) > 1:
        partitions = sorted(batch.spans)
        low = set(partitions[: len(partitions) // 2])
        lower = {number: span for number, span in batch.spans.items() if number in low}
        spans = (lower, {number: span for number, span in batch.spans.items() if number not in low})
        return _parts(batch, spans, lambda record: record.partition() in low)
    ((partition, span),) = batch.spans.items()
    offsets = sorted(record.offset() for record in (*batch.records, *(letter.record for letter in batch.dead_letters)))
    if len(offsets) < 2:
        return None
    first = len(offsets) // 2
    cut = offsets[first]
    skipped = cut - span.start_offset - first
    spans = (
        {partition: replace(span, next_offset=cut, skipped=skipped)},
        {partition: replace(span, start_offset=cut, skipped=span.skipped - skipped)},
    )
    return _parts(batch, spans, lambda record: record.offset() < cut)


def _parts(
    batch: Batch, spans: tuple[dict[int, Span], dict[int, Span]], is_first: Callable[[KafkaRecord], bool]
) -> tuple[Batch, Batch]:
    parts = (
        replace(batch, spans=spans[0], lines=[], records=[], dead_letters=[]),
        replace(batch, spans=spans[1], lines=[], records=[], dead_letters=[], appended_ms=[]),
    )
    for line, record in zip(batch.lines, batch.records, strict=True):
        part = parts[0] if is_first(record) else parts[1]
        part.lines.append(line)
        part.records.append(record)
    for letter in batch.dead_letters:
        (parts[0] if is_first(letter.record) else parts[1]).dead_letters.append(letter)
    return parts


@dataclass(slots=True)
class Counts:
    """How the offsets of one partition ended."""

    inserted: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        """Offsets accounted for."""
        return self.inserted + self.duplicates + self.dead_lettered + self.skipped
