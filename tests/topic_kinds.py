"""Three kinds of topics for one consumer: our own records, plain JSON, and Avro with a schema registry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from tests.conftest import Stack
from tests.reading import query
from tests.records import body as own_body
from tests.schema_registry import avro, framed
from tests.topic_records import body

SALE = {
    "type": "record",
    "name": "Sale",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
        {"name": "amount", "type": "string"},
    ],
}
SALE_ID = 1  # in the registry
AT = "2026-01-31T13:45:00Z"
AT_NANOS, AT_STORED = 1_769_867_100_123_456_789, datetime(2026, 1, 31, 13, 45, 0, 123_457, tzinfo=UTC)
UNKNOWN_SCHEMA = 99

Make = Callable[[str, str], bytes]  # (id, amount) -> a record's value


def own_record(name: str, amount: str) -> bytes:
    return own_body(name, amount=amount)


def json_record(name: str, amount: str) -> bytes:
    return body(id=name, amount=amount, at=AT)


def avro_record(name: str, amount: str, schema_id: int = SALE_ID) -> bytes:
    return framed(schema_id, avro(SALE, {"id": name, "at": AT_NANOS, "amount": amount}))


# What makes a record of each kind, and values that must become dead letters.
KINDS: dict[str, tuple[Make, list[bytes | None]]] = {
    "own": (own_record, [b"not json", None]),
    "json": (json_record, [b"{", body(id="bad", amount="much")]),
    "avro": (avro_record, [framed(SALE_ID, b"\x02"), framed(UNKNOWN_SCHEMA, b"")]),
}


def assert_each_offset_once(stack: Stack, topic: str) -> None:
    """Checks that each offset of a topic is one row, one dead letter, or one of those that are counted."""
    for ledger in query(stack, "select * from ingest_ledger where topic = %s", topic):
        place = (ledger["topic_id"], ledger["kafka_partition"])
        where = "where topic_id = %s and kafka_partition = %s"
        rows = [row["at"] for row in query(stack, f"select kafka_offset as at from transactions {where}", *place)]  # noqa: S608
        letters = [row["at"] for row in query(stack, f"select kafka_offset as at from dead_letters {where}", *place)]  # noqa: S608
        assert (len(rows), len(letters)) == (ledger["inserted"], ledger["dead_lettered"])
        assert len({*rows, *letters}) == len(rows) + len(letters)
        offsets = set(range(ledger["first_offset"], ledger["next_offset"]))
        assert {*rows, *letters} <= offsets
        assert len(offsets) - len(rows) - len(letters) == ledger["duplicates"] + ledger["skipped"]
