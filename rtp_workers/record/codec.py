"""Converts between JSON and a record, one at a time, and checks every rule. The batch path must agree with it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from rtp_workers.errors import RecordError
from rtp_workers.record.forms import amount_of_number, check_amount, check_instant
from rtp_workers.record.transaction import FIELDS, MAX_ATTRIBUTES_BYTES, Field, Transaction

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # in JSON text: the escape itself, not an escaped backslash before u0000
_PATTERNS = {field.name: re.compile(field.rule.pattern) for field in FIELDS if field.rule.pattern}
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Decoded:
    """A record as it goes into COPY.

    Attributes:
        texts: a text or None for each field, in the order of FIELDS; `attributes` as the JSON text received.
        unknown_fields: how many fields of the message are not fields of the record.
    """

    texts: tuple[str | None, ...]
    unknown_fields: int


def encode(transaction: Transaction) -> bytes:
    """Returns the record as it travels: a UTF-8 JSON object without the absent fields. Checks nothing."""
    return _ENCODER.encode(transaction)


def record_key(transaction: Transaction) -> bytes:
    """Returns the Kafka key: the customer if there is one, so that a customer's records stay in order, else the id."""
    return (transaction.customer_id or transaction.transaction_id).encode()


def check(transaction: Transaction) -> None:
    """Raises RecordError, which names the field, if a value breaks its rule."""
    for field in FIELDS:
        value = getattr(transaction, field.name)
        if field.rule.kind == "object":
            _check_attributes(value)
        else:
            check_text(field, value)


def decode(value: bytes | None) -> Decoded:
    """Decodes one message body.

    Args:
        value: the body as received; None is a null value.

    Returns:
        The record, ready for COPY. Only PostgreSQL can check that it can store ``attributes`` as jsonb.

    Raises:
        RecordError: the body or one of its fields breaks a rule; it becomes a dead letter.
    """
    members = _members(value)
    texts = tuple(_field_text(field, members.pop(field.name, None)) for field in FIELDS)
    return Decoded(texts, len(members))


def _members(value: bytes | None) -> dict[str, msgspec.Raw]:
    if value is None:
        raise RecordError("null_value", "the record has no value (it is a tombstone), so there is nothing to store")
    if not value:
        raise RecordError("empty_value", "the record's value is empty; a JSON object is needed")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecordError("invalid_utf8", f"the value is not UTF-8 at byte {error.start}") from error
    try:
        return _OBJECT.decode(text)
    except msgspec.ValidationError as error:
        raise RecordError("not_an_object", "the value is JSON, but not an object") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError("not_json", f"the value is not JSON: {error}") from error
    except RecursionError as error:
        raise RecordError("nested_too_deep", "the value is nested too deeply") from error


def _field_text(field: Field, raw: msgspec.Raw | None) -> str | None:
    literal = bytes(raw) if raw is not None else b"null"
    if literal == b"null":
        _refuse_missing(field, raw is None)
        return None
    if field.rule.kind == "object":
        return _attributes_text(literal)
    if field.rule.kind == "decimal" and literal[:1] not in b'"tf{[':
        return amount_of_number(literal.decode())
    text = _string(field, literal)
    check_text(field, text)
    return text


def _refuse_missing(field: Field, absent: bool) -> None:
    if field.required:
        how = "missing" if absent else "null"
        raise RecordError(f"{field.name}_missing", f"{field.name} is {how}; it is required", field=field.name)


def _string(field: Field, literal: bytes) -> str:
    try:
        return _TEXT.decode(literal)
    except msgspec.ValidationError as error:
        needed = "a decimal, as text or number" if field.rule.kind == "decimal" else "text"
        found = literal[:40].decode(errors="replace")
        raise RecordError(
            f"{field.name}_wrong_type", f"{field.name} must be {needed}, not {found}", field=field.name
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(
            f"{field.name}_invalid_text",
            f"{field.name} contains half a surrogate pair or broken text",
            field=field.name,
        ) from error


def _attributes_text(literal: bytes) -> str:
    text = literal.decode()
    if not text.startswith("{"):
        raise RecordError("attributes_object", "attributes must be an object", field="attributes")
    if _NUL.search(text):
        raise RecordError(
            "nul_in_text", "attributes contain U+0000, which no text column can store", field="attributes"
        )
    return text


def check_text(field: Field, value: str | None) -> None:
    """Raises RecordError, which names the field, if a value of `field` (None: absent) breaks its rule."""
    rule, name = field.rule, field.name
    if value is None:
        return _refuse_missing(field, False)
    if rule.kind == "instant":
        return check_instant(value)
    if rule.kind == "decimal":
        return check_amount(value)
    if "\0" in value:
        raise RecordError("nul_in_text", f"{name} contains U+0000, which no text column can store", field=name)
    if not rule.controls and _CONTROLS.search(value):
        raise RecordError(f"{name}_no_controls", f"{name} {value[:80]!r} contains a control character", field=name)
    if name in _PATTERNS and not _PATTERNS[name].fullmatch(value):
        raise RecordError(f"{name}_code", f"{name} {value[:80]!r} does not have the form {rule.pattern}", field=name)
    if not rule.min_length <= len(value) <= (rule.max_length or len(value)):
        raise RecordError(
            f"{name}_length",
            f"{name} has {len(value):,} characters; {rule.min_length} to {rule.max_length} are allowed",
            field=name,
        )
    return None


def _check_attributes(value: dict[str, Any] | None) -> None:
    if value is None:
        return
    text = json.dumps(value, ensure_ascii=False)
    if _NUL.search(text):
        raise RecordError(
            "nul_in_text", "attributes contain U+0000, which no text column can store", field="attributes"
        )
    size = len(text.encode())
    if size > MAX_ATTRIBUTES_BYTES:
        raise RecordError("attributes_size", f"attributes have {size:,} bytes; 8,192 are allowed", field="attributes")
