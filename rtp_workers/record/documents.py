"""Reads JSON into a document with exact numbers, and turns a document's values into the texts that a mapping reads."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from rtp_workers.errors import RecordError

Document = dict[str, Any]
MAX_EXPONENT = 400  # of a number that is written out in full; an amount has 20 digits before the point
MOST_DIGITS = 4_300  # of a whole number, by Python's own limit: sys.int_info.default_max_str_digits
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# Numbers with a point or an exponent are kept as text. Whole numbers of any length are exact anyway.
decode_json = msgspec.json.Decoder(dict[str, Any], float_hook=msgspec.Raw).decode
encode_json = msgspec.json.Encoder(decimal_format="number").encode
_encode_sorted = msgspec.json.Encoder(decimal_format="number", order="sorted").encode


def read_json(value: bytes) -> Document:
    """Returns the document of a record's value. A byte order mark before it is ignored, as RFC 8259 allows.

    Raises:
        RecordError: empty, not UTF-8, not JSON, or JSON but not an object.
    """
    value = value.removeprefix(BYTE_ORDER_MARK)
    if not value:
        raise RecordError("empty_value", "the record's value is empty; a JSON object is needed")
    try:
        return decode_json(value)
    except msgspec.ValidationError as error:
        raise _not_a_document(value) from error
    except UnicodeDecodeError as error:
        raise RecordError("invalid_utf8", f"the value is not UTF-8 at byte {error.start}") from error
    except msgspec.DecodeError as error:
        raise RecordError("not_json", f"the value is not JSON: {error}") from error
    except RecursionError as error:
        raise RecordError("nested_too_deep", "the value is nested too deeply") from error


def _not_a_document(value: bytes) -> RecordError:
    start = value.lstrip()[:1]
    if start == b"{":
        return RecordError("number_too_long", f"the value holds a whole number of more than {MOST_DIGITS:,} digits")
    if start == b"[":
        return RecordError(
            "not_an_object", "the value is a list, but one record must hold one transaction, as a JSON object"
        )
    return RecordError("not_an_object", "the value is JSON, but not an object")


def canonical_bytes(document: Document) -> bytes:
    """Returns the document as bytes that depend only on its content, not on the order of its members."""
    return _encode_sorted(document)


def cell_text(value: Any) -> str:
    """Returns a value as the text that a CSV cell would hold; ``""`` for null.

    Raises:
        TypeError: the value is an object or a list, which has no text.
    """
    return _TEXTS[type(value)](value)


def _number(value: msgspec.Raw) -> str:
    literal = bytes(value).decode()
    return _written_out(Decimal(literal)) if "e" in literal or "E" in literal else literal


def _written_out(number: Decimal) -> str:
    if not number.is_finite() or abs(number.adjusted()) > MAX_EXPONENT:
        return str(number)
    return format(number, "f")


def _float(value: float) -> str:
    # The shortest decimal that gives this double: the digits that its writer meant.
    return _written_out(Decimal(repr(value)))


def _instant(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


class _Texts(dict[type, Callable[[Any], str]]):
    """The function that makes a text of a value, by the value's type."""

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        if issubclass(kind, (dict, list, tuple)):
            raise TypeError(f"a {kind.__name__} has no text")
        return str


_TEXTS = _Texts(
    {
        str: str,
        type(None): lambda _: "",
        int: str,
        bool: lambda value: "true" if value else "false",
        msgspec.Raw: _number,
        float: _float,
        Decimal: _written_out,
        datetime: _instant,
        date: date.isoformat,
        bytes: lambda value: base64.b64encode(value).decode(),
    }
)
