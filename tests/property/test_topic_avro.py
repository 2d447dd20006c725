"""The short way from Avro to a row gives what the careful one, by fastavro, gives; for broken bodies, too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtp_workers.errors import RecordError
from rtp_workers.kafka.schema_registry import SchemaRegistry
from rtp_workers.record.copy_text import NULL, escape
from rtp_workers.record.transaction import FIELD_NAMES
from rtp_workers.topics.avro_pattern import BodyPattern
from rtp_workers.topics.avro_schema import AvroSchema, plan_rows
from rtp_workers.topics.avro_values import NotReadableHereError, integers_of_eight_bytes, read_long
from rtp_workers.topics.convert import TopicConverter
from tests.schema_registry import avro, framed, schema_registry
from tests.topic_records import PlacedRecord, converter_of

MONEY = {
    "type": "record",
    "name": "Money",
    "fields": [
        {"name": "value", "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 4}},
        {"name": "currency", "type": {"type": "enum", "name": "Code", "symbols": ["EUR", "USD", "nope"]}},
    ],
}
PAYMENT: dict[str, Any] = {
    "type": "record",
    "name": "shop.Payment",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "pay", "type": MONEY},
        {"name": "fee", "type": ["null", "Money"]},
        {"name": "shop", "type": [{"type": "record", "name": "Shop", "fields": [
            {"name": "name", "type": ["null", "string"]},
            {"name": "country", "type": ["string", "null"]},
            {"name": "open", "type": "boolean"},
        ]}, "null"]},
        {"name": "card", "type": ["null", {"type": "record", "name": "Card", "fields": [
            {"name": "number", "type": "string"},
            {"name": "kind", "type": ["null", "string", "long"]},
        ]}]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "more", "type": {"type": "map", "values": ["null", "double", {"type": "map", "values": "string"}]}},
        {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}]},
        {"name": "seen", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
        {"name": "clock", "type": ["null", {"type": "long", "logicalType": "local-timestamp-nanos"}]},
        {"name": "raw", "type": ["null", {"type": "fixed", "name": "Four", "size": 4}]},
    ],
}  # fmt: skip
SECTIONS = (
    """
    columns.transaction_id = "id"
    columns.occurred_at = "at"
    columns.amount = "pay.value"
    columns.currency = "pay.currency"
    columns.merchant = "shop.name"
    columns.country = "shop.country"
    columns.category = "card.kind"
    drop = ["card.number"]
    """,
    """
    columns.occurred_at = "at"
    columns.amount = "fee.value"
    columns.merchant = "not.there"
    columns.customer_id = "id"
    columns.category = "more"
    drop = ["pay"]
    """,
    """
    columns.occurred_at = "seen"
    columns.amount = "pay.value"
    """,
    """
    columns.occurred_at = "clock"
    columns.amount = "pay.value"
    time_zone = "Europe/Berlin"
    """,
)

texts = st.one_of(st.text(max_size=6), st.sampled_from(["DE", "\u0000", "a\tb", '"\\', "x" * 200, "\u00fc" * 70]))
money = st.fixed_dictionaries({
    "value": st.decimals(-(10**20), 10**20, places=4), "currency": st.sampled_from(["EUR", "USD", "nope"]),
})  # fmt: skip
nanos = st.integers(-(2**63), 2**63 - 1)
payments = st.fixed_dictionaries({
    "id": texts,
    "at": st.datetimes(datetime(1890, 1, 1), datetime(2110, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC)),
    "pay": money,
    "fee": st.none() | money,
    "shop": st.none() | st.fixed_dictionaries(
        {"name": st.none() | texts, "country": st.none() | st.sampled_from(["DE", "Atlantis"]), "open": st.booleans()}
    ),
    "card": st.none() | st.fixed_dictionaries({"number": texts, "kind": st.none() | texts | st.integers(0, 10**12)}),
    "tags": st.lists(texts, max_size=3),
    "more": st.dictionaries(texts, st.none() | st.floats() | st.dictionaries(texts, texts, max_size=2), max_size=3),
    "day": st.none() | st.dates(date(1900, 1, 1), date(2100, 1, 1)),
    "seen": nanos,
    "clock": st.none() | nanos,
    "raw": st.none() | st.binary(min_size=4, max_size=4),
})  # fmt: skip
USUAL: dict[str, Any] = {
    "id": "p1", "at": datetime(2026, 1, 31, 13, 45, tzinfo=UTC), "pay": {"value": Decimal("12.5"), "currency": "EUR"},
    "fee": None, "shop": {"name": "Tea", "country": "DE", "open": True}, "card": None, "tags": ["a"],
    "more": {"b": None}, "day": None, "seen": 1_769_867_100_123_456_789, "clock": None, "raw": b"abcd",
}  # fmt: skip


@pytest.fixture(scope="module")
def converters() -> Iterator[list[TopicConverter]]:
    with schema_registry() as registry:
        assert registry.add(PAYMENT) == 1
        assert registry.add({**PAYMENT, "fields": PAYMENT["fields"][:4]}) == 2
        schemas = SchemaRegistry(registry.url)
        yield [converter_of(section, schemas=schemas) for section in SECTIONS]
        schemas.close()


def stored(line: str) -> tuple[Any, ...]:
    """Returns a COPY line as PostgreSQL stores it."""
    *cells, attributes = line.split("\t")
    return *cells, None if attributes == NULL else json.loads(attributes.replace("\\\\", "\\"))


def alone(converter: TopicConverter, value: bytes) -> Any:
    """Returns what the careful way makes of a record."""
    try:
        fields = converter.record(value, PlacedRecord())
    except RecordError as error:
        return error.reason
    cells = [fields.get(name, NULL) for name in FIELD_NAMES]
    return stored("\t".join(
        cell if cell is NULL else escape(cell if isinstance(cell, str) else cell.decode()) for cell in cells
    ))  # fmt: skip


def together(converter: TopicConverter, values: list[bytes]) -> list[Any]:
    """Returns what a batch makes of its records."""
    mapped = converter.lines(values, [PlacedRecord()] * len(values))
    reasons = {refusal.index: refusal.reason for refusal in mapped.refusals}
    return [reasons[index] if line is None else stored(line) for index, line in enumerate(mapped.lines)]


quick = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(which=st.integers(0, len(SECTIONS) - 1), documents=st.lists(payments, min_size=1, max_size=4))
def test_a_batch_gives_what_each_of_its_records_gives(
    converters: list[TopicConverter], which: int, documents: list[dict[str, Any]]
) -> None:
    values = [framed(1, avro(PAYMENT, document)) for document in (USUAL, *documents)]
    assert together(converters[which], values) == [alone(converters[which], value) for value in values]


@quick
@given(document=payments, at=st.integers(0, 400), change=st.binary(max_size=2), kept=st.integers(0, 400))
def test_a_broken_body_is_refused_or_read_as_the_careful_way_does(
    converters: list[TopicConverter], document: dict[str, Any], at: int, change: bytes, kept: int
) -> None:
    body = avro(PAYMENT, document)
    at %= len(body)
    broken = body[:at] + change + body[at + len(change) :][:kept]
    values = [framed(1, avro(PAYMENT, USUAL)), framed(1, broken)]
    assert together(converters[0], values) == [alone(converters[0], value) for value in values]


def test_usual_records_take_the_short_way(converters: list[TopicConverter]) -> None:
    shorter = avro({**PAYMENT, "fields": PAYMENT["fields"][:4]}, USUAL)
    values = [framed(1, avro(PAYMENT, USUAL)), framed(2, shorter), framed(1, avro(PAYMENT, USUAL))]
    assert converters[0].lines(values, [PlacedRecord()] * 3).careful == 0
    assert together(converters[0], values)[1] == alone(converters[0], values[1])
    assert together(converters[0], values)[0] == (
        "p1", "2026-01-31T13:45:00Z", "12.5000", NULL, "Tea", NULL, "EUR", NULL, NULL, "DE",
        {"fee": None, "shop": {"open": True}, "card": None, "tags": ["a"], "more": {"b": None}, "day": None,
         "seen": "2026-01-31T13:45:00.123456789Z", "clock": None, "raw": "YWJjZA=="},
    )  # fmt: skip


ANY_SCALE = {
    "type": "record",
    "name": "VariableScaleDecimal",
    "namespace": "io.debezium.data",
    "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}],
    "connect.name": "io.debezium.data.VariableScaleDecimal",
}
# Fields of every kind, each as it is, as a cell, and left out.
FIELDS: tuple[tuple[Any, st.SearchStrategy[Any]], ...] = (
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1) | st.integers(-70, 70)),
    ("float", st.floats(width=32)),
    ("double", st.floats()),
    ("bytes", st.binary(max_size=70)),
    ("string", texts),
    (["null", "string"], st.none() | texts),
    (["string", "null"], st.none() | texts),
    (["null", "boolean", "string", "long"], st.none() | st.booleans() | texts | st.integers(0, 2**40)),
    ({"type": "long", "logicalType": "timestamp-millis"}, st.datetimes(datetime(1890, 1, 1), datetime(2110, 1, 1))),
    (["null", {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 4}],
     st.none() | st.decimals(-(10**20), 10**20, places=4)),
    ({"type": "fixed", "name": "Sum", "size": 8, "logicalType": "decimal", "precision": 18, "scale": 2},
     st.decimals(-(10**12), 10**12, places=2)),
    ({"type": "string", "logicalType": "uuid"}, st.uuids()),
    (["null", {"type": "int", "connect.name": "io.debezium.time.Date"}], st.none() | st.integers(-(2**31), 2**31 - 1)),
    (ANY_SCALE, st.fixed_dictionaries({"scale": st.integers(-3, 25), "value": st.binary(min_size=1, max_size=12)})),
    ({"type": "enum", "name": "Kind", "symbols": ["EUR", "USD", "card"]}, st.sampled_from(["EUR", "USD", "card"])),
    ({"type": "array", "items": ["null", "string"]}, st.lists(st.none() | texts, max_size=10)),
    (["null", {"type": "map", "values": "string"}], st.none() | st.dictionaries(texts, texts, max_size=10)),
    ([{"type": "map", "values": "null"}, "null"], st.none() | st.dictionaries(texts, st.none(), max_size=3)),
    ({"type": "map", "values": ["long", "string"]}, st.dictionaries(texts, texts | st.integers(0, 99), max_size=3)),
    (["null", {"type": "record", "name": "Inner", "fields": [
        {"name": "name", "type": "string"}, {"name": "marks", "type": {"type": "array", "items": "long"}},
     ]}], st.none() | st.fixed_dictionaries({"name": texts, "marks": st.lists(st.integers(-99, 99), max_size=3)})),
)  # fmt: skip
EACH_FIELD = {
    "type": "record",
    "name": "Each",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2}},
    ],
}


@pytest.fixture(scope="module")
def field_converters() -> Iterator[list[TopicConverter]]:
    section = """columns.transaction_id = "id"\ncolumns.occurred_at = "at"\ncolumns.amount = "amount"\n"""
    with schema_registry() as registry:
        for field, _ in FIELDS:
            registry.add({**EACH_FIELD, "fields": [*EACH_FIELD["fields"], {"name": "field", "type": field}]})
        schemas = SchemaRegistry(registry.url)
        lines = (section, f'{section}columns.category = "field"', f'{section}drop = ["field"]')
        yield [converter_of(some, schemas=schemas) for some in lines]
        schemas.close()


@quick
@given(data=st.data(), which=st.integers(0, len(FIELDS) - 1), use=st.integers(0, 2))
def test_a_field_of_any_kind_is_read_as_the_careful_way_does(
    field_converters: list[TopicConverter], data: st.DataObject, which: int, use: int
) -> None:
    schema, values = FIELDS[which]
    fields = [*EACH_FIELD["fields"], {"name": "field", "type": schema}]
    start = {"id": 7, "at": datetime(2026, 1, 31, tzinfo=UTC), "amount": Decimal("12.50")}
    bodies = [
        avro({**EACH_FIELD, "fields": fields}, {**start, "field": aware(value)})
        for value in data.draw(st.lists(values, min_size=1, max_size=4))
    ]
    at, change = data.draw(st.integers(0, len(bodies[0]) - 1)), data.draw(st.binary(max_size=2))
    broken = bodies[0][:at] + change + bodies[0][at + len(change) :]
    framed_values = [framed(which + 1, body) for body in (*bodies, broken)]
    converter = field_converters[use]
    assert together(converter, framed_values) == [alone(converter, value) for value in framed_values]


def aware(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def test_a_body_with_a_long_text_or_many_members_is_left_to_the_reader_of_single_values() -> None:
    schema = AvroSchema(fastavro.parse_schema(PAYMENT))
    pattern = BodyPattern(schema, plan_rows(schema, [("id",), ("pay", "value")], []))
    long, many = {**USUAL, "id": "x" * 64}, {**USUAL, "tags": ["a"] * 9}
    bodies = [framed(1, avro(PAYMENT, document)) for document in (USUAL, long, many)]
    assert [found is not None for found in pattern.groups(bodies)] == [True, False, False]
    assert pattern.groups([bodies[0] + b"\0", bodies[0][:-1]]) == [None, None]


def test_a_schema_with_too_many_forms_has_no_pattern() -> None:
    fields = [{"name": f"f{number}", "type": "string"} for number in range(200)]
    schema = AvroSchema(fastavro.parse_schema({"type": "record", "name": "Wide", "fields": fields}))
    with pytest.raises(NotReadableHereError):
        BodyPattern(schema, plan_rows(schema, [("f0",)], []))


@given(st.lists(st.integers(2**48, 2**55 - 1) | st.integers(-(2**55), -(2**48) - 1), min_size=1))
def test_integers_of_eight_bytes_are_read_like_others(numbers: list[int]) -> None:
    written = b"".join(avro("long", number) for number in numbers)
    assert integers_of_eight_bytes(written) == numbers
    assert [read_long(written, at)[0] for at in range(0, len(written), 8)] == numbers


def test_a_broken_text_refuses_its_record_even_where_it_is_left_out(converters: list[TopicConverter]) -> None:
    paid = {**USUAL, "card": {"number": "4711", "kind": None}}
    broken = framed(1, avro(PAYMENT, paid).replace(b"4711", b"47\xff1"))
    assert together(converters[0], [broken]) == ["avro_unreadable"]
