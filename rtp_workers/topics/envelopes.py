"""The envelopes around a row: Kafka Connect's ``{"schema", "payload"}`` and Debezium's change events."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from rtp_workers.errors import RecordError
from rtp_workers.record.documents import Document

# Names of Connect's and Debezium's logical types: kafka-connect-api's org.apache.kafka.connect.data, and Debezium's
# documentation of its connectors ("Data type mappings").
CONNECT_DECIMAL = "org.apache.kafka.connect.data.Decimal"
VARIABLE_DECIMAL = "io.debezium.data.VariableScaleDecimal"
DAYS = frozenset({"org.apache.kafka.connect.data.Date", "io.debezium.time.Date"})
CREATED = frozenset({"c", "r"})
# These events are about no row, and have neither `before` nor `after`.
# https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-truncate-events
WITHOUT_ROW = frozenset({"t", "m"})
WORDS = {"u": "an update", "d": "a delete", "t": "a truncate", "m": "a message"}
NOT_AN_INSERT = "not_an_insert"
CONNECT_START = b'{"schema":'  # as Connect's JsonConverter writes its envelope
MOST_SCHEMAS = 100  # of one topic, kept at a time
Convert = Callable[[Any], Any]
# A document with one of these members may be an envelope.
MARKS = frozenset({"payload", "op", "__op", "__deleted"})


class NotAnInsertError(RecordError):
    """The record changes or deletes a row, or is a tombstone, so it adds no transaction."""

    def __init__(self, what: str) -> None:
        super().__init__(
            NOT_AN_INSERT, f'the record is {what}; only inserts become rows, changes = "skip" in its section skips it'
        )


def unwrap(document: Document) -> Document:
    """Returns the row inside Connect's and Debezium's envelopes. A document without an envelope is returned as it is.

    Raises:
        NotAnInsertError: the document is an update, a delete or another event that adds no row.
        RecordError: the envelope contains no row.
    """
    if MARKS.isdisjoint(document):
        return document
    if len(document) == 2 and "payload" in document and "schema" in document:
        document = _payload(document)
    if is_change_event(document):
        return _created_row(document)
    return _flattened(document)


def is_change_event(document: Mapping[str, Any]) -> bool:
    """Tells whether a document is a Debezium change event."""
    if "op" not in document or "source" not in document:
        return False
    if "after" in document or "before" in document:
        return True
    kind = document["op"]
    return (
        isinstance(kind, str) and kind in WITHOUT_ROW and "ts_ms" in document and isinstance(document["source"], dict)
    )


class ConnectReader:
    """Reads Connect's envelopes faster than `unwrap`: each schema is parsed once, not with every record.

    It gives what `unwrap` gives, or raises one of msgspec's errors or a RecordError; `unwrap` judges the value then.
    """

    def __init__(self) -> None:
        self._converters: dict[bytes, Convert | None] = {}  # by the schema's JSON

    def row(self, value: bytes) -> Document:
        """Returns the row of a value that begins with `CONNECT_START`."""
        envelope = _decode_connect(value)
        convert = self._converter(bytes(envelope.schema))
        row = envelope.payload if convert is None else convert(envelope.payload)
        return _created_row(row) if is_change_event(row) else _flattened(row)

    def _converter(self, text: bytes) -> Convert | None:
        if text not in self._converters:
            schema = _decode_any(text)
            if len(self._converters) >= MOST_SCHEMAS:
                self._converters.clear()
            self._converters[text] = _converter(schema) if isinstance(schema, dict) else None
        return self._converters[text]


class _Connect(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    schema: msgspec.Raw
    payload: dict[str, Any]


_decode_connect = msgspec.json.Decoder(_Connect, float_hook=msgspec.Raw).decode
_decode_any = msgspec.json.Decoder(Any, float_hook=msgspec.Raw).decode


def _payload(document: Document) -> Document:
    payload, schema = document["payload"], document["schema"]
    if payload is None:
        raise NotAnInsertError("a tombstone in Connect's envelope")
    if not isinstance(payload, dict):
        raise RecordError("not_an_object", "Connect's envelope holds a payload that is not an object")
    convert = _converter(schema) if isinstance(schema, dict) else None
    row = payload if convert is None else convert(payload)
    if not isinstance(row, dict):
        raise RecordError("not_an_object", "Connect's envelope holds a single value, not an object")
    return row


def _created_row(event: Document) -> Document:
    kind = event["op"]
    if kind not in CREATED:
        raise NotAnInsertError(
            WORDS.get(kind, f"an event of kind {kind!r:.20}") if isinstance(kind, str) else "an event"
        )
    row = event.get("after")
    if not isinstance(row, dict):
        raise RecordError("not_an_object", "the change event has no row in `after`")
    return row


def _flattened(document: Document) -> Document:
    """Judges a row that Debezium's ExtractNewRecordState took out of its event, by the mark that it adds."""
    kind, deleted = document.get("__op"), document.get("__deleted")
    if deleted in ("true", True) or kind == "d":
        raise NotAnInsertError("a delete")
    if isinstance(kind, str) and kind in WORDS:
        raise NotAnInsertError(WORDS[kind])
    return document


def _converter(schema: Mapping[str, Any]) -> Convert | None:
    """Returns what makes the logical types in a value readable: decimals exact, days as dates; None if it has none.

    What it returns changes objects in place.
    """
    read = _LOGICAL.get(str(schema.get("name", "")))
    if read is not None:
        return lambda value: None if value is None else read(value, schema)
    if schema.get("type") == "struct":
        members = [(str(field.get("field")), _converter(field)) for field in _schemas(schema.get("fields"))]
        return _struct_converter({name: convert for name, convert in members if convert is not None})
    inner = schema.get({"array": "items", "map": "values"}.get(str(schema.get("type")), ""))
    convert = _converter(inner) if isinstance(inner, dict) else None
    if convert is None:
        return None
    if schema["type"] == "map":
        return partial(_converted_map, convert)
    return lambda value: list(map(convert, value)) if isinstance(value, list) else value


def _converted_map(convert: Convert, value: Any) -> Any:
    """Converts the values of a map, which JsonConverter writes as a list of pairs if its keys are no texts."""
    if isinstance(value, dict):
        return {name: convert(inner) for name, inner in value.items()}
    pairs = value if isinstance(value, list) else []
    are_pairs = all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
    return [[key, convert(inner)] for key, inner in pairs] if pairs and are_pairs else value


def _struct_converter(members: Mapping[str, Convert]) -> Convert | None:
    def convert(value: Any) -> Any:
        if isinstance(value, dict):
            for name, convert_member in members.items():
                if name in value:
                    value[name] = convert_member(value[name])
        return value

    return convert if members else None


def _schemas(fields: Any) -> list[Mapping[str, Any]]:
    return [field for field in fields if isinstance(field, dict)] if isinstance(fields, list) else []


def _decimal(value: Any, schema: Mapping[str, Any]) -> Any:
    """Decodes a Connect decimal: a big-endian integer in base64, with its scale in the schema."""
    if not isinstance(value, str):
        return value  # decimal.format=NUMERIC writes a JSON number, which is exact already
    parameters = schema.get("parameters")
    return scaled(value, parameters.get("scale") if isinstance(parameters, dict) else None)


def _variable_decimal(value: Any, schema: Mapping[str, Any]) -> Any:
    if not isinstance(value, dict):
        return value
    return scaled(str(value.get("value")), value.get("scale"))


def scaled(text: str, scale: Any) -> Decimal:
    """Converts a big-endian integer in base64 to a decimal, exactly.

    Raises:
        RecordError: the text is not base64, or the scale is not a number.
    """
    try:
        digits = int.from_bytes(base64.b64decode(text, validate=True), "big", signed=True)
        return Decimal(f"{digits}E{-int(scale)}")  # exact, whatever the context says
    except (binascii.Error, ValueError, TypeError, ArithmeticError) as error:
        raise RecordError(
            "decimal_unreadable", f"{text[:40]!r} is not a decimal as Connect writes it (base64, scale {scale!r})"
        ) from error


def _day(value: Any, schema: Mapping[str, Any]) -> Any:
    if not isinstance(value, int):
        return value
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=value)).date()
    except OverflowError:
        return value


_LOGICAL: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    CONNECT_DECIMAL: _decimal,
    VARIABLE_DECIMAL: _variable_decimal,
    **dict.fromkeys(DAYS, _day),
}
