"""The schema registry as a reader needs it: schemas by id, and which of its troubles is the record's fault."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from rtp_workers.errors import AttentionError, ConfigError, RecordError, TransientError
from rtp_workers.kafka.schema_registry import SchemaRegistry
from tests.schema_registry import FakeRegistry, avro, schema_registry

PAYMENT = {
    "type": "record",
    "name": "Payment",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 4}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with schema_registry() as running:
        yield running


def test_an_avro_body_is_read_with_exact_decimals_and_instants(registry: FakeRegistry) -> None:
    at = datetime(2026, 1, 31, 13, 45, tzinfo=UTC)
    payment = {"id": "p1", "amount": Decimal("1234567890123456.7890"), "at": at, "note": None}
    read = SchemaRegistry(registry.url).reader(registry.add(PAYMENT))
    assert read(avro(PAYMENT, payment)) == payment


def test_debezium_s_own_types_are_read_by_the_name_that_connect_writes(registry: FakeRegistry) -> None:
    any_scale = {
        "type": "record",
        "name": "VariableScaleDecimal",
        "namespace": "io.debezium.data",
        "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}],
        "connect.version": 1,
        "connect.name": "io.debezium.data.VariableScaleDecimal",
    }
    day = {"type": "int", "connect.version": 1, "connect.name": "io.debezium.time.Date"}
    schema = {
        "type": "record",
        "name": "Value",
        "fields": [
            {"name": "amount", "type": ["null", any_scale]},
            {"name": "fee", "type": "io.debezium.data.VariableScaleDecimal"},
            {"name": "day", "type": ["null", day]},
            {"name": "number", "type": "int"},
        ],
    }
    sent = {
        "amount": {"scale": 2, "value": b"\x30\x39"},
        "fee": {"scale": 18, "value": b"\xff"},
        "day": 20484,
        "number": 20484,
    }
    assert SchemaRegistry(registry.url).reader(registry.add(schema))(avro(schema, sent)) == {
        "amount": Decimal("123.45"),
        "fee": Decimal("-0.000000000000000001"),
        "day": date(2026, 1, 31),
        "number": 20484,
    }


@pytest.mark.parametrize(
    ("kind", "written", "read"),
    [
        ("float", 0.1, 0.1),  # not the 0.10000000149011612 that this float is, seen as a double
        ("float", 16777216.0, 16777216.0),
        ("float", 3.4028234663852886e38, 3.4028235e38),
        ("double", 0.1, 0.1),
        ("double", 1234567.891234567, 1234567.891234567),
        ("double", math.nan, "NaN"),
        ("float", math.inf, "Infinity"),
        ("double", -math.inf, "-Infinity"),
    ],
)
def test_floating_numbers_keep_the_digits_that_were_written_and_none_becomes_null(
    registry: FakeRegistry, kind: str, written: float, read: object
) -> None:
    schema = {
        "type": "record",
        "name": "Reading",
        "fields": [
            {"name": "plain", "type": kind},
            {"name": "maybe", "type": ["null", {"type": kind}]},
            {"name": "many", "type": {"type": "array", "items": kind}},
            {"name": "named", "type": {"type": "map", "values": kind}},
            {"name": "inner", "type": {"type": "record", "name": "Inner", "fields": [{"name": "x", "type": kind}]}},
        ],
    }
    sent = {"plain": written, "maybe": written, "many": [written], "named": {"a": written}, "inner": {"x": written}}
    found = SchemaRegistry(registry.url).reader(registry.add(schema))(avro(schema, sent))
    assert found == {"plain": read, "maybe": read, "many": [read], "named": {"a": read}, "inner": {"x": read}}


@pytest.mark.parametrize(
    ("logical", "sent", "read"),
    [
        ("timestamp-millis", 1_769_867_100_250, datetime(2026, 1, 31, 13, 45, 0, 250_000, tzinfo=UTC)),
        ("timestamp-micros", 1_769_867_100_250_001, datetime(2026, 1, 31, 13, 45, 0, 250_001, tzinfo=UTC)),
        ("timestamp-nanos", 1_769_867_100_250_001_999, "2026-01-31T13:45:00.250001999Z"),
        ("timestamp-nanos", -1, "1969-12-31T23:59:59.999999999Z"),
        ("local-timestamp-millis", 1_769_867_100_250, datetime(2026, 1, 31, 13, 45, 0, 250_000)),
        ("local-timestamp-micros", 1_769_867_100_250_001, datetime(2026, 1, 31, 13, 45, 0, 250_001)),
        ("local-timestamp-nanos", 1_769_867_100_000_000_000, "2026-01-31T13:45:00"),
    ],
)
def test_every_kind_of_timestamp_is_read_with_all_of_its_digits(
    registry: FakeRegistry, logical: str, sent: int, read: object
) -> None:
    at = {"name": "at", "type": {"type": "long", "logicalType": logical}}
    schema_id = registry.add({"type": "record", "name": "Seen", "fields": [at]})
    plain = {"type": "record", "name": "Seen", "fields": [{"name": "at", "type": "long"}]}
    assert SchemaRegistry(registry.url).reader(schema_id)(avro(plain, {"at": sent})) == {"at": read}


def test_a_schema_is_asked_for_once(registry: FakeRegistry) -> None:
    schemas, schema_id = SchemaRegistry(registry.url), registry.add(PAYMENT)
    assert schemas.reader(schema_id) is schemas.reader(schema_id)
    assert len(registry.asked) == 1


def test_a_schema_that_refers_to_another_is_read(registry: FakeRegistry) -> None:
    money = {"type": "record", "name": "Money", "namespace": "shop", "fields": [{"name": "value", "type": "string"}]}
    payment = {
        "type": "record", "name": "Sale", "namespace": "shop",
        "fields": [{"name": "net", "type": "shop.Money"}, {"name": "tax", "type": "shop.Money"}],
    }  # fmt: skip
    registry.add_version("money", 1, money)
    schema_id = registry.add(payment, references=[{"name": "shop.Money", "subject": "money", "version": 1}])
    document = {"net": {"value": "1.00"}, "tax": {"value": "0.19"}}
    inline = {**payment, "fields": [{"name": "net", "type": money}, {"name": "tax", "type": "shop.Money"}]}
    assert SchemaRegistry(registry.url).reader(schema_id)(avro(inline, document)) == document


def test_a_json_schema_s_body_is_json(registry: FakeRegistry) -> None:
    schema_id = registry.add({"type": "object"}, "JSON")
    assert SchemaRegistry(registry.url).reader(schema_id)(b'{"id": "a"}') == {"id": "a"}


def test_an_unknown_id_is_the_record_s_fault_and_asked_about_once(registry: FakeRegistry) -> None:
    schemas = SchemaRegistry(registry.url)
    for _ in range(3):
        with pytest.raises(RecordError, match="schema id 4711 is not in the schema registry") as caught:
            schemas.reader(4711)
        assert caught.value.reason == "unknown_schema_id"
    assert len(registry.asked) == 1


def test_protobuf_is_the_record_s_fault(registry: FakeRegistry) -> None:
    schema_id = registry.add("message Payment {}", "PROTOBUF")
    with pytest.raises(RecordError, match="is PROTOBUF; Avro and JSON Schema can be read"):
        SchemaRegistry(registry.url).reader(schema_id)


@pytest.mark.parametrize(
    "body", [b"", b"\x02", avro(PAYMENT["fields"][0]["type"], "p1") + b"\xff" * 12], ids=["empty", "cut", "garbage"]  # type: ignore[index]  # JSON
)  # fmt: skip
def test_a_body_of_another_schema_is_the_record_s_fault(registry: FakeRegistry, body: bytes) -> None:
    with pytest.raises(RecordError) as caught:
        SchemaRegistry(registry.url).reader(registry.add(PAYMENT))(body)
    assert caught.value.reason == "avro_unreadable"


def test_bytes_left_over_are_the_record_s_fault(registry: FakeRegistry) -> None:
    payment = {"id": "p1", "amount": Decimal("1"), "at": datetime(2026, 1, 1, tzinfo=UTC), "note": None}
    with pytest.raises(RecordError, match="3 bytes are left over"):
        SchemaRegistry(registry.url).reader(registry.add(PAYMENT))(avro(PAYMENT, payment) + b"abc")


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_registry_in_trouble_is_waited_for(registry: FakeRegistry, status: int) -> None:
    registry.add(PAYMENT)
    registry.status = status
    schemas = SchemaRegistry(registry.url)
    with pytest.raises(TransientError, match=f"HTTP {status}; the topic waits"):
        schemas.reader(1)
    registry.status = 0
    assert callable(schemas.reader(1))


def test_a_slow_registry_is_waited_for(registry: FakeRegistry) -> None:
    registry.add(PAYMENT)
    registry.delay_s = 30
    with pytest.raises(TransientError, match="does not answer"):
        SchemaRegistry(registry.url, timeout_s=0.2).reader(1)


def test_a_registry_that_is_away_is_waited_for() -> None:
    with schema_registry() as gone:
        pass
    with pytest.raises(TransientError, match="does not answer"):
        SchemaRegistry(gone.url).reader(1)


def test_the_user_and_the_password_are_sent(registry: FakeRegistry) -> None:
    registry.user, registry.password = "reader", "s3cret:with colon"
    schema_id = registry.add(PAYMENT)
    assert callable(SchemaRegistry(registry.url, "reader", "s3cret:with colon").reader(schema_id))
    with pytest.raises(AttentionError, match=r"RTP_SCHEMA_REGISTRY_USER and RTP_SCHEMA_REGISTRY_PASSWORD") as caught:
        SchemaRegistry(registry.url, "reader", "wrong").reader(schema_id)
    assert "wrong" not in str(caught.value)


def test_something_else_at_the_address_needs_a_person(registry: FakeRegistry) -> None:
    with pytest.raises(AttentionError, match="check RTP_SCHEMA_REGISTRY_URL"):
        SchemaRegistry(registry.url + "/elsewhere").reader(1)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="RTP_SCHEMA_REGISTRY_URL"):
        SchemaRegistry("registry:8081")
