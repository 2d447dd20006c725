"""Polls become batches: positions, skipped offsets, and what is not ours."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

from rtp_workers.consumer.assembly import Assembler
from rtp_workers.consumer.assignment import Assignment
from rtp_workers.postgres.ledger import Place

BODY = b'{"transaction_id":"%d","occurred_at":"2026-01-01T00:00:00Z","amount":"1.00"}'


@dataclass(frozen=True)
class Record:
    """A record as Kafka's client would hand it over."""

    at_partition: int
    at_offset: int
    body: bytes | None = None

    def partition(self) -> int:
        return self.at_partition

    def offset(self) -> int:
        return self.at_offset

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes | None:
        return BODY % self.at_offset if self.body is None else self.body

    def timestamp(self) -> tuple[int, int]:
        return (2, 1_767_225_600_000)

    def headers(self) -> Sequence[tuple[str, bytes | None]] | None:
        return [("source", b"test")]


def _assembler(offsets: dict[int, int]) -> tuple[Assembler, Assignment]:
    assignment = Assignment()
    assignment.assigned(offsets)
    assignment.opened({number: Place(offset, 0) for number, offset in offsets.items()})
    return Assembler("transactions", "id", assignment), assignment


def test_every_offset_of_a_span_is_a_line_a_dead_letter_or_skipped() -> None:
    assembler, _ = _assembler({0: 5, 1: 0})
    assembler.add([Record(0, 5), Record(0, 8), Record(1, 0, b"bad"), Record(0, 9)], {0: 12})
    batch = assembler.take()
    assert (batch.spans[0].start_offset, batch.spans[0].next_offset, batch.spans[0].skipped) == (5, 12, 2 + 2)
    assert (batch.spans[1].start_offset, batch.spans[1].next_offset, batch.spans[1].skipped) == (0, 1, 0)
    assert [line.split("\t")[-5:-3] for line in batch.lines] == [["0", "5"], ["0", "8"], ["0", "9"]]
    assert [letter.record.offset() for letter in batch.dead_letters] == [0]


def test_records_of_partitions_that_are_not_open_are_dropped() -> None:
    assembler, assignment = _assembler({0: 0})
    assignment.assigned([1])
    assembler.add([Record(1, 0), Record(2, 0), Record(0, 0)], {2: 9})
    assert set(assembler.take().spans) == {0}


def test_records_before_the_position_are_stored_already_and_dropped() -> None:
    assembler, _ = _assembler({0: 10})
    assembler.add([Record(0, 8), Record(0, 9), Record(0, 10)], {0: 9})
    batch = assembler.take()
    assert len(batch.lines) == 1
    assert batch.spans[0].next_offset == 11


def test_the_next_batch_starts_where_the_last_one_ended() -> None:
    assembler, _ = _assembler({0: 0})
    assembler.add([Record(0, 0), Record(0, 1)], {})
    first = assembler.take()
    assembler.add([], {0: 2})
    assert not assembler.has_work
    assembler.add([], {0: 4})
    second = assembler.take()
    assert second.spans[0].start_offset == first.spans[0].next_offset == 2
    assert (second.spans[0].next_offset, second.spans[0].skipped) == (4, 2)


def test_a_batch_of_an_older_epoch_is_no_longer_current() -> None:
    assembler, assignment = _assembler({0: 0})
    assembler.add([Record(0, 0)], {})
    span = assembler.take().spans[0]
    assert assignment.is_current(0, span.epoch)
    assignment.given_up([0])
    assert not assignment.is_current(0, span.epoch)
    assignment.assigned([0])
    assignment.opened({0: Place(0, 0)})
    assert not assignment.is_current(0, span.epoch)


def test_a_reset_makes_every_partition_ask_the_ledger_again() -> None:
    _, assignment = _assembler({0: 3, 1: 4})
    assignment.reset()
    assert assignment.pending == {0, 1}
    assert assignment.positions == {}


def test_a_batch_with_refused_records_is_freed_without_the_cycle_collector() -> None:
    """The consumer runs it every 30 s only: what waits for it is a full rate's memory."""
    assembler, _ = _assembler({0: 0})
    records = [Record(0, 0), Record(0, 1, b"bad"), Record(0, 2, BODY.replace(b"1.00", b"NaN") % 2), Record(0, 3, b"[]")]
    kept = [weakref.ref(record) for record in records]
    gc.disable()
    try:
        assembler.add(records, {})
        assert len(assembler.take().dead_letters) == 3
        records.clear()
        assert [each() for each in kept] == [None] * 4
    finally:
        gc.enable()
