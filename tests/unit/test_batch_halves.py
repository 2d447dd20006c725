"""A batch that is too large for memory is written in parts: every offset is in exactly one of them."""

from __future__ import annotations

from dataclasses import dataclass

from rtp_workers.postgres.batch import Batch, DeadLetter, Span, halves


@dataclass(frozen=True)
class Record:
    at: tuple[int, int]

    def partition(self) -> int:
        return self.at[0]

    def offset(self) -> int:
        return self.at[1]

    def key(self) -> None:
        return None

    def value(self) -> bytes:
        return b"x"

    def timestamp(self) -> tuple[int, int]:
        return (2, 0)

    def headers(self) -> None:
        return None


def batch_of(spans: dict[int, Span], lines: list[tuple[int, int]], letters: list[tuple[int, int]]) -> Batch:
    made = Batch("topic", "id", spans=spans)
    made.records += [Record(at) for at in lines]
    made.lines += [str(at) for at in lines]
    made.dead_letters += [DeadLetter(Record(at), "bad", "bad") for at in letters]
    return made


def assert_adds_up(batch: Batch) -> None:
    for number, span in batch.spans.items():
        records = [record for record in batch.records if record.partition() == number]
        letters = [letter for letter in batch.dead_letters if letter.record.partition() == number]
        assert span.next_offset - span.start_offset == len(records) + len(letters) + span.skipped
    assert batch.lines == [str(record.at) for record in batch.records if isinstance(record, Record)]


def test_partitions_are_shared_out_first() -> None:
    batch = batch_of({0: Span(0, 2, 1), 1: Span(5, 7, 1)}, [(0, 0), (1, 5), (0, 1)], [(1, 6)])
    first, second = halves(batch) or (batch, batch)
    assert (set(first.spans), set(second.spans)) == ({0}, {1})
    assert_adds_up(first)
    assert_adds_up(second)


def test_one_partition_is_cut_before_its_middle_record_down_to_one() -> None:
    # Offsets 10 and 14 hold no record, 12 is a dead letter.
    batch = batch_of({3: Span(10, 16, 1, 2)}, [(3, 11), (3, 13), (3, 15)], [(3, 12)])
    waiting, single = [batch], []
    while waiting:
        part = waiting.pop(0)
        assert_adds_up(part)
        parts = halves(part)
        if parts is None:
            single.append(part)
        else:
            assert parts[0].spans[3].next_offset == parts[1].spans[3].start_offset
            waiting += parts
    spans = sorted((part.spans[3].start_offset, part.spans[3].next_offset) for part in single)
    assert spans == [(10, 12), (12, 13), (13, 15), (15, 16)]
