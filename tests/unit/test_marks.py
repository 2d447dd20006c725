"""Marks: which stored records a log is compared by, and what the comparison finds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from rtp_workers.kafka.log_reader import Stretch
from rtp_workers.postgres.ledger import Place
from rtp_workers.reconcile.log_comparison import Comparison, compare, stretches
from rtp_workers.record.marks import RATIO, SKIPPED, THINNED, Mark, extended, from_text, mark_of, to_text


@dataclass(frozen=True)
class Record:
    """A record with all that a mark is made of."""

    number: int = 5
    appended_ms: int = 1_000
    body: bytes | None = b"{}"
    named: bytes | None = b"k"
    sent_with: tuple[tuple[str, bytes | None], ...] = (("source", b"live"),)

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.number

    def timestamp(self) -> tuple[int, int]:
        return 1, self.appended_ms

    def key(self) -> bytes | None:
        return self.named

    def value(self) -> bytes | None:
        return self.body

    def headers(self) -> Sequence[tuple[str, bytes | None]] | None:
        return self.sent_with


@pytest.mark.parametrize(
    "other",
    [
        {"appended_ms": 1_001},
        {"body": b"{ }"},
        {"body": None},
        {"named": None},
        {"named": b""},
        {"sent_with": ()},
        {"sent_with": (("source", None),)},
        {"named": b"k2:{}", "body": b""},
    ],
)
def test_records_that_differ_in_anything_have_different_marks(other: dict[str, Any]) -> None:
    record = Record()
    assert mark_of(replace(record, **other)).digest != mark_of(record).digest
    assert mark_of(replace(record)) == mark_of(record)


def test_marks_are_stored_as_text_and_read_back() -> None:
    marks = (Mark(3, "ab"), Mark(900, "cd"))
    assert from_text(to_text(marks)) == marks
    assert from_text(None) == from_text("") == from_text("nonsense x: :y") == ()


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_however_long_the_log_is_some_dozens_of_marks_stay_and_none_is_far_from_the_next(batch: int) -> None:
    marks: tuple[Mark, ...] = ()
    for start in range(0, 400 * batch, batch):
        marks = extended(marks, [Mark(offset, "x") for offset in range(start, start + batch)], ())
        assert len(marks) <= THINNED + 1
    end = marks[-1].offset
    distances = [end - mark.offset for mark in marks[:-1]]
    assert marks[0].offset == 0
    assert list(marks) == sorted(marks)
    assert all(further <= RATIO * (nearer + 1) for further, nearer in itertools.pairwise(distances))


def test_a_mark_that_is_needed_stays_however_close_it_is() -> None:
    marks: tuple[Mark, ...] = ()
    for offset in range(40):
        marks = extended(marks, [Mark(offset, "x")], range(40))
    assert [mark.offset for mark in marks] == list(range(40))
    marks = extended(marks, [Mark(40, "x")], ())
    assert len(marks) < 12


PLACE = Place(105, 0, (Mark(10, "a"), Mark(50, "b"), Mark(100, "c")))
HELD = {range(10, 11): "a", range(50, 51): "b", range(100, 105): "c"}


def compared(held: dict[range, str | None], start: int = 0, end: int = 200, place: Place = PLACE) -> Comparison:
    found = {
        offsets: Stretch([] if digest is None else [Mark(offsets.start, digest)]) for offsets, digest in held.items()
    }
    return compare(place, start, end, {offsets: found[offsets] for offsets in stretches(place, start)})


def test_a_log_that_holds_every_mark_is_the_same() -> None:
    assert compared(dict(HELD)) == Comparison(True, PLACE.marks)
    assert compared(dict(HELD), end=105).same


def test_the_log_differs_from_the_first_mark_on_that_it_does_not_hold() -> None:
    assert compared({**HELD, range(100, 105): "other"}) == Comparison(False, PLACE.marks[:2])
    assert compared({**HELD, range(50, 51): None}) == Comparison(False, PLACE.marks[:1])
    assert compared(dict.fromkeys(HELD)).agreed == ()


def test_a_record_where_a_marker_was_is_a_difference() -> None:
    found = {offsets: Stretch([Mark(offsets.start, digest)]) for offsets, digest in HELD.items()}
    found[range(100, 105)].marks.append(Mark(101, "new"))
    assert not compare(PLACE, 0, 200, found).same


def test_a_log_that_ends_before_the_ledger_is_another_even_where_each_mark_is_there() -> None:
    assert not compared(dict(HELD), end=104).same


def test_records_that_retention_has_deleted_decide_nothing() -> None:
    assert compared(dict(HELD), start=60) == Comparison(True, PLACE.marks)
    assert compared({}, start=105) == Comparison(True, PLACE.marks)
    assert compared({}, place=Place(7, 0)).same


def test_what_an_open_transaction_hides_is_not_judged() -> None:
    found = {offsets: Stretch([Mark(offsets.start, digest)]) for offsets, digest in HELD.items()}
    found[range(50, 51)] = Stretch([], hidden=True)
    assert compare(PLACE, 0, 200, found).hidden


def test_offsets_that_were_stepped_over_are_never_read() -> None:
    skipped = Place(150, 0, (*PLACE.marks, Mark(149, SKIPPED)))
    assert stretches(skipped, 0) == [range(100, 101), range(50, 51), range(10, 11)]
    held = {range(10, 11): "a", range(50, 51): "b", range(100, 101): "c"}
    assert compared(dict(held), place=skipped).same
    assert compared(dict(held), end=120, place=skipped).agreed == PLACE.marks
