"""The short way from JSON to a row: it is taken once the members are known, and never gives another row."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtp_workers.errors import RecordError
from rtp_workers.record.transaction import FIELD_NAMES
from rtp_workers.topics.convert import TopicConverter
from tests.topic_records import PlacedRecord, converter_of

ANYWHERE = PlacedRecord()
SECTION = """
columns.transaction_id = "id"
columns.occurred_at = "at"
columns.amount = "pay.amount"
columns.currency = "pay.currency"
columns.merchant = "shop"
drop = ["card.number"]
"""
USUAL = (
    '{"id":"p1","at":"2026-01-31T13:45:00.25Z","pay":{"amount":%s,"currency":"EUR","fee":{"rate":0.10}},'
    '"shop":"Tea","card":{"number":"4111","kind":"debit"},"tags":["a","b"],"note":%s}'
)


def usual(amount: str = "12.50", note: str = '"x"') -> bytes:
    return (USUAL % (amount, note)).encode()


def warm(section: str = SECTION) -> TopicConverter:
    """Returns a converter that knows the members of `usual`."""
    converter = converter_of(section)
    assert converter.lines([usual()], [ANYWHERE]).careful == 1
    assert converter.lines([usual()], [ANYWHERE]).careful == 0
    return converter


def verdict(converter: TopicConverter, value: bytes | None) -> Any:
    """Returns the fields of one record, or the reason of its refusal, by the reference."""
    try:
        fields = converter.record(value, ANYWHERE)
    except RecordError as error:
        return error.reason, error.detail
    return {**fields, "attributes": json.loads(fields.get("attributes", b"null"))}


def by_batch(converter: TopicConverter, value: bytes | None) -> Any:
    """Returns the same of a batch in which the record stands between two usual ones."""
    mapped = converter.lines([usual(), value, usual()], [ANYWHERE] * 3)
    assert mapped.lines[0] == mapped.lines[2] is not None
    if mapped.refusals:
        (refusal,) = mapped.refusals
        assert (refusal.index, mapped.lines[1]) == (1, None)
        return refusal.reason, refusal.detail
    assert mapped.lines[1] is not None
    cells = dict(zip(FIELD_NAMES, mapped.lines[1].split("\t"), strict=True))
    found: dict[str, Any] = {name: cell for name, cell in cells.items() if cell != "\\N"}
    return {**found, "attributes": json.loads(found.get("attributes", "null").replace("\\\\", "\\"))}


@pytest.mark.parametrize(
    "value",
    [
        usual(),
        usual("12", "null"),
        usual('"12.5"', "[]"),
        usual(note='"caf\u00e9 \u00fc \\u00e9 \\" \\\\ \\n"'),
        usual(note='{"a": 1,\n\t"b": [1.0, 2e3]}'),
        usual("-3.10", "12345678901234567890123"),
        USUAL.replace('"shop":"Tea"', '"shop":"T\\u00e9a"').encode() % (b"1", b"1"),
        b'{"id":"p1","at":"2026-01-31T13:45:00Z","pay":{"amount":1}}',
        b'{"at":"2026-01-31T13:45:00Z","pay":{"amount":1,"currency":null},"id":"p1","card":{"number":"1"},"shop":null}',
        b'{"id":"p1","id":"p2","at":"2026-01-31T13:45:00Z","pay":{"amount":1},"note":1,"note":2}',
        b'{"id":"p1","at":"2026-01-31T13:45:00Z","pay":{"amount":1},"card":{}}',
    ],
)
def test_plain_records_take_the_short_way_and_give_the_same_row(value: bytes) -> None:
    converter = warm()
    converter.lines([usual("1.5"), usual("1")], [ANYWHERE] * 2)  # amounts may be numbers
    assert converter.lines([usual(), value], [ANYWHERE] * 2).careful == 0
    assert by_batch(converter, value) == verdict(converter_of(SECTION), value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"[1]",
        b"null",
        usual("1e3"),
        usual("-0"),
        usual("true"),
        usual("[1]"),
        usual('"12,5"'),
        usual('"1\\t2"'),
        usual(note='"\\u0000"'),
        usual(note='"\\\\u0000"'),
        usual(note='"\\ud800"'),
        usual(note='"\\ud83d\\ude00"'),
        usual().replace(b'"x"', b'"\xff"'),
        usual(note="[" * 5000 + "]" * 5000),
        usual(note="9" * 5000),
        b"\xef\xbb\xbf" + usual(),
        usual().replace(b"EUR", b"nope"),
        usual().replace(b"2026-01-31", b"2026-02-30"),
        usual().replace(b"2026-01-31", b"1899-01-31"),
        usual().replace(b"Tea", b"x" * 501),
        usual().replace(b'"shop":"Tea"', b'"shop":["Tea"]'),
        usual().replace(b'"note"', b'"new"'),
        usual().replace(b'"pay":{', b'"pay":null,"was":{'),
        usual().replace(b'{"id":"p1"', b'{"op":"u","source":{},"after":{}'),
        b'{"schema":{},"payload":' + usual() + b"}",
        b'{"op":"c","source":{},"after":' + usual() + b"}",
        b'{"op":"d","source":{},"before":' + usual() + b"}",
        b'{"schema":{},"payload":null}',
    ],
)
def test_whatever_is_unusual_ends_as_the_reference_says(value: bytes | None) -> None:
    assert by_batch(warm(), value) == verdict(converter_of(SECTION), value)


def test_members_that_come_later_are_learned() -> None:
    converter = warm()
    later = usual().replace(b'"note"', b'"remark"')
    assert [converter.lines([later] * 3, [ANYWHERE] * 3).careful for _ in range(2)] == [3, 0]
    assert converter.lines([later, usual()], [ANYWHERE] * 2).careful == 0


def test_an_envelope_is_never_taken_for_a_row() -> None:
    converter = warm()
    event = b'{"op":"u","source":{},"before":{},"after":' + usual() + b"}"
    for _ in range(3):
        mapped = converter.lines([event] * 5, [ANYWHERE] * 5)
        assert [refusal.reason for refusal in mapped.refusals] == ["not_an_insert"] * 5


def test_members_whose_names_never_end_are_not_learned_forever() -> None:
    converter = warm()
    for number in range(8):
        values = [usual().replace(b'"note"', f'"note{number}-{at}"'.encode()) for at in range(50)]
        mapped = converter.lines(values, [ANYWHERE] * 50)
        assert None not in mapped.lines
    assert converter.lines([usual()], [ANYWHERE]).careful == 1


@pytest.mark.parametrize(
    "lines",
    [
        SECTION + 'id = "derived"',
        SECTION.replace('"shop"', '"tags[0]"'),
        SECTION.replace("card.number", "pay"),
        SECTION.replace('"shop"', '"op"'),
    ],
)
def test_sections_that_need_the_whole_document_always_get_it(lines: str) -> None:
    converter = converter_of(lines)
    for _ in range(2):
        assert converter.lines([usual()] * 2, [ANYWHERE] * 2).careful == 2
    assert by_batch(converter, usual()) == verdict(converter_of(lines), usual())
