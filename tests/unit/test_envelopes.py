"""Rows inside Kafka Connect's and Debezium's envelopes."""

from __future__ import annotations

import base64
import json
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from rtp_workers.errors import AttentionError, RecordError
from rtp_workers.topics.envelopes import CONNECT_START, NotAnInsertError
from rtp_workers.topics.reading import DocumentReader

ROW = {"id": 7, "note": "lunch"}
DECIMAL = "org.apache.kafka.connect.data.Decimal"
AMOUNT = {"type": "bytes", "name": DECIMAL, "parameters": {"scale": "2"}}
VARIABLE = {"name": "io.debezium.data.VariableScaleDecimal"}
SOURCE = {"connector": "postgresql", "table": "payments"}


def read(document: Any) -> Any:
    return DocumentReader().read(msgspec.json.encode(document))


def verdict(value: bytes) -> Any:
    """Returns the document of a value, or the reason of its refusal and the detail."""
    try:
        return DocumentReader().read(value)
    except RecordError as error:
        return error.reason, error.detail


def event(op: str, **parts: Any) -> dict[str, Any]:
    return {"before": None, "after": None, "source": SOURCE, "op": op, "ts_ms": 1, **parts}


@pytest.mark.parametrize(
    "document",
    [
        ROW,
        {"schema": {"type": "struct", "fields": []}, "payload": ROW},
        {"schema": None, "payload": ROW},
        event("c", after=ROW),
        event("r", after=ROW),
        {"schema": {"type": "struct"}, "payload": event("c", after=ROW)},
    ],
    ids=["none", "Connect", "Connect without a schema", "created", "read by a snapshot", "both"],
)
def test_the_row_is_taken_out_of_its_envelope(document: Any) -> None:
    assert read(document) == ROW


@pytest.mark.parametrize(
    ("document", "what"),
    [
        (event("u", before=ROW, after=ROW), "an update"),
        (event("d", before=ROW), "a delete"),
        (event("t", after=None), "a truncate"),
        (event("m", after=None), "a message"),
        ({"source": SOURCE, "op": "t", "ts_ms": 1559033904961}, "a truncate"),
        ({"source": SOURCE, "op": "m", "ts_ms": 1, "message": {"prefix": "foo", "content": "Ymfy"}}, "a message"),
        ({"schema": {}, "payload": {"source": SOURCE, "op": "t", "ts_ms": 1}}, "a truncate"),
        ({"schema": {}, "payload": None}, "a tombstone"),
        ({**ROW, "__op": "u"}, "an update"),
        ({**ROW, "__deleted": "true"}, "a delete"),
    ],
)
def test_what_adds_no_row_is_not_an_insert(document: Any, what: str) -> None:
    with pytest.raises(NotAnInsertError, match=f"the record is {what}") as caught:
        read(document)
    assert caught.value.reason == "not_an_insert"


def test_a_tombstone_is_not_an_insert() -> None:
    with pytest.raises(NotAnInsertError, match="a tombstone"):
        DocumentReader().read(None)


@pytest.mark.parametrize("document", [{**ROW, "__op": "c"}, {**ROW, "__deleted": "false"}, {**ROW, "op": "sale"}])
def test_other_rows_pass_as_they_are(document: Any) -> None:
    assert read(document) == document


def test_a_row_whose_own_members_look_like_an_event_without_a_row_passes() -> None:
    for row in ({**ROW, "op": "t", "source": "web"}, {**ROW, "op": "m", "source": {"ip": "::1"}}):
        assert read(row) == row


def test_a_byte_order_mark_is_ignored() -> None:
    assert DocumentReader().read(b'\xef\xbb\xbf{"id": 7}') == {"id": 7}


def test_the_quick_way_into_connect_s_envelope_gives_what_the_careful_one_gives() -> None:
    decimal = {"field": "amount", "type": "bytes", "name": DECIMAL, "parameters": {"scale": "2"}}
    by_shop = {"type": "struct", "fields": [{"field": "amount", "type": "map", "values": AMOUNT}]}
    schemas = [None, 5, {}, {"type": "struct", "fields": [decimal]}, by_shop, {"name": DECIMAL}, VARIABLE, "\ud800"]
    amounts = ("MDk=", "%", {"a": "MDk="}, [[1, "MDk="]], [1])
    payloads = [
        ROW,
        *({"amount": amount} for amount in amounts),
        None,
        [1],
        event("c", after=ROW),
        event("d"),
        {"__op": "u"},
    ]
    values = [
        json.dumps({"schema": schema, "payload": payload, **more}, separators=(",", ":")).encode()
        for schema in schemas
        for payload in payloads
        for more in ({}, {"more": 1})
    ]
    values += [
        b'{"schema":{},"payload":{"id":1},"payload":{"id":2}}',
        b'{"schema":{',
        b'{"schema":"\xff","payload":{}}',
    ]
    for value in values * 2:
        assert value.startswith(CONNECT_START)
        found = DocumentReader().read_all([value])
        error = found.errors.get(0)
        assert verdict(value) == (found.found[0] if error is None else (error.reason, error.detail))


def test_connect_s_logical_types_become_readable_and_stay_exact() -> None:
    fields = [
        {"field": "amount", "type": "bytes", "name": DECIMAL, "parameters": {"scale": "2"}},
        {"field": "any", "type": "struct", "name": "io.debezium.data.VariableScaleDecimal"},
        {"field": "day", "type": "int32", "name": "io.debezium.time.Date"},
        {"field": "parts", "type": "array", "items": {"type": "int32", "name": "org.apache.kafka.connect.data.Date"}},
        {"field": "missing", "type": "bytes", "name": DECIMAL, "parameters": {"scale": "2"}},
        {"field": "sums", "type": "map", "keys": {"type": "string"}, "values": AMOUNT},
        {"field": "by_shop", "type": "map", "keys": {"type": "int32"}, "values": AMOUNT},
    ]
    large = 12345678901234567890123
    row = {
        "amount": base64.b64encode(large.to_bytes(12, "big", signed=True)).decode(),
        "any": {"scale": 3, "value": base64.b64encode((-1).to_bytes(1, "big", signed=True)).decode()},
        "day": 20484,
        "parts": [0],
        "missing": None,
        "sums": {"total": "MDk="},
        "by_shop": [[7, "MDk="]],
    }
    assert read({"schema": {"type": "struct", "fields": fields}, "payload": row}) == {
        "amount": Decimal("123456789012345678901.23"),
        "any": Decimal("-0.001"),
        "day": date(2026, 1, 31),
        "parts": [date(1970, 1, 1)],
        "missing": None,
        "sums": {"total": Decimal("123.45")},
        "by_shop": [[7, Decimal("123.45")]],
    }


def test_a_change_event_s_decimals_are_read_by_the_schema_of_its_row() -> None:
    amount = {
        "field": "amount",
        "type": "bytes",
        "name": DECIMAL,
        "parameters": {"scale": "2"},
    }
    schema = {"type": "struct", "fields": [{"field": "after", "type": "struct", "fields": [amount]}]}
    assert read({"schema": schema, "payload": event("c", after={"amount": "MDk="})}) == {"amount": Decimal("123.45")}


@pytest.mark.parametrize("value", ["%%%", "", 5, "AQ=="])
def test_a_decimal_that_cannot_be_read_refuses_the_record(value: Any) -> None:
    field = {"field": "a", "type": "bytes", "name": DECIMAL, "parameters": {}}
    document = {"schema": {"type": "struct", "fields": [field]}, "payload": {"a": value}}
    if isinstance(value, int):
        assert read(document) == {"a": 5}
        return
    with pytest.raises(RecordError) as caught:
        read(document)
    assert caught.value.reason == "decimal_unreadable"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "empty_value"),
        (b"hello", "not_json"),
        (b"[1]", "not_an_object"),
        (b"\xef\xbb\xbf", "empty_value"),
        (b'{"a": ' + b"9" * 5000 + b"}", "number_too_long"),
        (b'"text"', "not_an_object"),
        (b'{"a": NaN}', "not_json"),
        (b'{"a": "\xff"}', "invalid_utf8"),
        (b"\0\0", "not_json"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested_too_deep"),
        (b'{"schema": {}, "payload": [1]}', "not_an_object"),
        (b'{"op": "c", "source": {}, "after": null}', "not_an_object"),
    ],
)
def test_a_value_that_holds_no_document_is_refused(value: bytes, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        DocumentReader().read(value)
    assert caught.value.reason == reason


def test_a_framed_value_without_a_registry_asks_a_person_for_its_address() -> None:
    with pytest.raises(AttentionError, match=r"schema id 258\); set RTP_SCHEMA_REGISTRY_URL"):
        DocumentReader().read(b"\0\0\0\1\2rest")
