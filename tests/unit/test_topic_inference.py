"""Events of public payment systems: the mapping is found, or what is not in them is asked for."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from rtp_workers.mapping.sources import Section, sources_from
from rtp_workers.record.documents import Document
from rtp_workers.topics.convert import TopicConverter
from rtp_workers.topics.infer import infer_documents
from rtp_workers.topics.reading import DocumentReader
from rtp_workers.topics.section_text import topic_section_text
from rtp_workers.topics.sections import topic_plan
from tests.topic_records import PlacedRecord
from tests.topic_shapes import Shape, all_shapes, answered, comparable

EVENTS = 40
SHAPES = all_shapes()


def bodies(shape: Shape) -> list[bytes]:
    return [json.dumps(shape.document(n)).encode() for n in range(EVENTS)]


def documents(shape: Shape) -> list[Document]:
    reader = DocumentReader()
    return [reader.read(value) for value in bodies(shape)]


def section_text(shape: Shape) -> str:
    return topic_section_text(infer_documents(documents(shape)), shape.name)


def section(text: str) -> Section:
    return sources_from(tomllib.loads(text), "sources.toml").sections[0]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: str(shape.name))
def test_what_a_shape_does_not_tell_is_asked_for_and_nothing_else(shape: Shape) -> None:
    plan = infer_documents(documents(shape))
    assert {question.field for question in plan.undecided} == set(shape.asked)
    assert bool(section(section_text(shape)).open) == bool(shape.asked)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.consumable], ids=lambda shape: str(shape.name))
def test_a_shape_s_events_become_the_right_rows(shape: Shape) -> None:
    converter = TopicConverter(topic_plan(section(answered(section_text(shape), shape)), shape.name), topic_id="t")
    for n, value in enumerate(bodies(shape)):
        fields = converter.record(value, PlacedRecord(0, n))
        assert comparable({name: fields.get(name) for name in shape.row(n)}) == comparable(shape.row(n))
        attributes: dict[str, Any] = json.loads(fields["attributes"])
        assert {name: attributes.get(name) for name in shape.attributes(n)} == shape.attributes(n)


def test_the_section_found_says_the_same_when_it_is_read_again() -> None:
    shape = next(shape for shape in SHAPES if shape.name == "open-banking-uk")
    found = infer_documents(documents(shape))
    again = infer_documents(documents(shape), section(section_text(shape)))
    assert {role: use.columns for role, use in again.uses.items()} == {
        role: use.columns for role, use in found.uses.items()
    }


def test_whole_yen_are_not_asked_about() -> None:
    sales = [
        {"id": f"a{n}", "at": "2026-01-31T13:45:00Z", "amount": 1_237 * n, "currency": "JPY"} for n in range(1, 20)
    ]
    assert infer_documents(sales).undecided == ()


def test_records_without_an_id_get_one_from_their_offset() -> None:
    found = infer_documents([{"at": "2026-01-31T13:45:00Z", "amount": f"{n}.50"} for n in range(1, 20)])
    text = topic_section_text(found, "payments")
    assert 'id = "offset"' in text
    assert topic_plan(section(text), "payments").id_rule == "offset"


def test_a_side_with_a_minus_stays_money_out() -> None:
    at = "2026-01-31T13:45:00Z"
    moves = [
        {"id": f"a{n}", "at": at, "debit": None if n % 2 else -n - 0.25, "credit": n + 0.5 if n % 2 else None}
        for n in range(20)
    ]
    text = topic_section_text(infer_documents(moves), "moves")
    assert "debit_negative = true" in text
    converter = TopicConverter(topic_plan(section(text), "moves"))
    rows = [converter.record(json.dumps(move).encode(), PlacedRecord()) for move in moves[:2]]
    assert [row["amount"] for row in rows] == ["-0.25", "1.5"]


@pytest.mark.parametrize(("zone", "said"), [(None, False), ("Europe/Berlin", True)])
def test_the_section_says_what_becomes_of_times_that_come_twice(zone: str | None, said: bool) -> None:
    sales = [
        {"id": f"a{n}", "at": f"2026-10-25 02:{n:02}:00", "amount": f"{n}.50", **({"zone": zone} if zone else {})}
        for n in range(1, 20)
    ]
    text = topic_section_text(infer_documents(sales), "sales")
    assert ('ambiguous = "refuse"' in text) == said


def test_no_zone_is_noted_for_times_that_count_from_1970() -> None:
    sales = [{"id": f"a{n}", "created": 1_769_867_100 + 37 * n, "amount": f"{n}.50"} for n in range(1, 20)]
    known = section(topic_section_text(infer_documents(sales), "sales"))
    assert not any("offset" in note for note in infer_documents(sales, known).notes)


def three_digits(amounts: list[str], **more: Any) -> list[Document]:
    at = "2026-01-31T13:45:00Z"
    values = [{"id": f"a{n}", "at": at, "amount": amount, **more} for n, amount in enumerate(amounts)]
    return [DocumentReader().read(json.dumps(value).encode()) for value in values]


def test_the_point_of_a_number_is_no_question() -> None:
    numbers: list[Any] = [n + 0.101 for n in range(1, 20)]
    for documents in (three_digits(numbers), three_digits(numbers, balance="1.234,56")):
        plan = infer_documents(documents)
        assert (plan.undecided, plan.rules.decimal_mark) == ((), ".")


def test_a_mark_that_is_asked_about_is_in_the_section_once() -> None:
    plan = infer_documents(three_digits([f"{n}.101" for n in range(1, 20)]))
    assert section(topic_section_text(plan, "payments")).open == ("decimal_mark",)


def test_what_is_dropped_is_not_listed_as_kept() -> None:
    sales = [
        {
            "id": f"a{n}",
            "at": "2026-01-31T13:45:00Z",
            "amount": f"{n}.50",
            "items": [{"sku": "x", "card": "4111"}],
            "who": {"name": f"n{n}", "mail": f"m{n}"},
        }
        for n in range(1, 20)
    ]
    known = Section("sales", topics=("sales",), drop=("items[1].card", "/who"))
    assert infer_documents(sales, known).attributes == ("items[0].sku",)


def test_names_with_dots_are_written_as_pointers() -> None:
    documents = [{"pay.id": f"a{n}", "when/at": "2026-01-31T13:45:00Z", "pay.amount": f"{n}.50"} for n in range(1, 20)]
    plan = topic_plan(section(topic_section_text(infer_documents(documents), "payments")), "payments")
    fields = TopicConverter(plan).record(json.dumps(documents[0]).encode(), PlacedRecord())
    assert fields == {"transaction_id": "a1", "occurred_at": "2026-01-31T13:45:00Z", "amount": "1.50"}
