"""Readers for values in Avro's binary form. Each reads one value at a position in a body.

https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache, partial
from typing import Any

Reader = Callable[[bytes, int], tuple[Any, int]]  # (body, position) -> (value, position after it)

MAX_VARINT_BITS = 70
SECOND = 1_000_000  # in microseconds
DAY = 86_400 * SECOND
END_MICROS = 4_102_444_800 * SECOND  # 2100-01-01T00:00:00Z; later times take the careful path
_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")


class NotReadableHereError(Exception):
    """The schema, or the body, needs the careful path."""


UNREADABLE = (NotReadableHereError, ValueError, LookupError, TypeError, ArithmeticError, struct.error, RecursionError)


def read_long(body: bytes, at: int) -> tuple[int, int]:
    """Reads an integer: seven bits per byte, with the sign in the lowest bit."""
    byte = body[at]
    at += 1
    number = byte & 0x7F
    shift = 7
    while byte & 0x80:
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if shift > MAX_VARINT_BITS:
            raise NotReadableHereError("an integer that never ends")
    return (number >> 1) ^ -(number & 1), at


def integers_of_eight_bytes(body: bytes) -> list[int]:
    """Returns the integers of a body with nothing else in it, each of eight bytes: microseconds since 1979."""
    numbers = list(struct.unpack(f"<{len(body) // 8}Q", body))
    numbers = [number & 0x007F_007F_007F_007F | (number & 0x7F00_7F00_7F00_7F00) >> 1 for number in numbers]
    numbers = [number & 0x0000_3FFF_0000_3FFF | (number & 0x3FFF_0000_3FFF_0000) >> 2 for number in numbers]
    numbers = [number & 0x0000_0000_0FFF_FFFF | (number & 0x0FFF_FFFF_0000_0000) >> 4 for number in numbers]
    return [(number >> 1) ^ -(number & 1) for number in numbers]


def read_size(body: bytes, at: int) -> tuple[int, int]:
    """Reads the size of a text or of bytes."""
    size, at = read_long(body, at)
    if size < 0:
        raise NotReadableHereError("a size below zero")
    return size, at


def _read_null(body: bytes, at: int) -> tuple[None, int]:
    return None, at


def _read_boolean(body: bytes, at: int) -> tuple[bool, int]:
    if body[at] > 1:
        raise NotReadableHereError("a boolean that is neither 0 nor 1")
    return body[at] == 1, at + 1


def _read_float(body: bytes, at: int) -> tuple[float, int]:
    return _FLOAT.unpack_from(body, at)[0], at + 4


def _read_double(body: bytes, at: int) -> tuple[float, int]:
    return _DOUBLE.unpack_from(body, at)[0], at + 8


def _read_bytes(body: bytes, at: int) -> tuple[bytes, int]:
    size, at = read_size(body, at)
    return read_fixed(size, body, at)


def read_string(body: bytes, at: int) -> tuple[str, int]:
    """Reads a text: its size, then its UTF-8."""
    text, at = _read_bytes(body, at)
    return text.decode(), at


def read_fixed(size: int, body: bytes, at: int) -> tuple[bytes, int]:
    """Reads a fixed number of bytes."""
    end = at + size
    if end > len(body):
        raise NotReadableHereError("bytes that are cut")
    return body[at:end], end


def read_enum(symbols: Sequence[str], body: bytes, at: int) -> tuple[str, int]:
    """Reads the symbol of an enum."""
    index, at = read_long(body, at)
    if index < 0:
        raise NotReadableHereError("a symbol that the enum does not have")
    return symbols[index], at


def read_array(item: Reader, body: bytes, at: int) -> tuple[list[Any], int]:
    """Reads a list, whose items come in blocks."""
    found: list[Any] = []
    count, at = read_items(body, at)
    while count:
        for _ in range(count):
            value, at = item(body, at)
            found.append(value)
        count, at = read_items(body, at)
    return found, at


def read_map(member: Reader, body: bytes, at: int) -> tuple[dict[str, Any], int]:
    """Reads a map, whose members come in blocks."""
    found: dict[str, Any] = {}
    count, at = read_items(body, at)
    while count:
        for _ in range(count):
            name, at = read_string(body, at)
            found[name], at = member(body, at)
        count, at = read_items(body, at)
    return found, at


def read_items(body: bytes, at: int) -> tuple[int, int]:
    """Returns how many items come next. After a negative count comes the size of the block."""
    count, at = read_long(body, at)
    if count < 0:
        _, at = read_long(body, at)
    if abs(count) > len(body):
        raise NotReadableHereError("more items than bytes")
    return abs(count), at


def read_record(fields: Sequence[tuple[str, Reader]], body: bytes, at: int) -> tuple[dict[str, Any], int]:
    """Reads the fields of a record, one after the other."""
    found: dict[str, Any] = {}
    for name, reader in fields:
        found[name], at = reader(body, at)
    return found, at


PRIMITIVES: dict[str, Reader] = {
    "null": _read_null,
    "boolean": _read_boolean,
    "int": read_long,
    "long": read_long,
    "float": _read_float,
    "double": _read_double,
    "bytes": _read_bytes,
    "string": read_string,
}


def read_union(branches: Sequence[Reader], body: bytes, at: int) -> tuple[Any, int]:
    """Reads a value of the branch that its index names."""
    index, at = read_long(body, at)
    if index < 0:
        raise NotReadableHereError("a branch that the union does not have")
    return branches[index](body, at)


def read_logical(reader: Reader, convert: Callable[..., Any], schema: Any, body: bytes, at: int) -> tuple[Any, int]:
    """Reads a value and converts it to its logical type, as fastavro would."""
    value, at = reader(body, at)
    return convert(value, schema, None), at


def text_reader(logical: str, schema: Mapping[str, Any]) -> Callable[[Any], str] | None:
    """Returns a function that converts a time or a decimal to text; None for other kinds of values."""
    if logical in ("bytes-decimal", "fixed-decimal"):
        return partial(_decimal_text, schema.get("scale", 0))
    if logical == "long-timestamp-micros":
        return _micros_text
    if logical == "long-timestamp-millis":
        return lambda value: _micros_text(value * 1000)
    return None


def _decimal_text(scale: int, unscaled: bytes) -> str:
    number = int.from_bytes(unscaled, "big", signed=True)
    if not scale:
        return str(number)
    digits = str(abs(number)).rjust(scale + 1, "0")
    return f"{'-' if number < 0 else ''}{digits[:-scale]}.{digits[-scale:]}"


def _micros_text(micros: int) -> str:
    if not 0 <= micros < END_MICROS:
        raise NotReadableHereError("a time of another century")
    return micros_texts((micros,))[0]


def micros_texts(times: Iterable[int]) -> list[str]:
    """Returns times as texts in UTC. They are in microseconds since 1970, and before `END_MICROS`."""
    texts = [f"{_day(time // DAY)}T{_clock(time // SECOND % 86_400)}.{time % SECOND:06d}Z" for time in times]
    return [text.replace(".000000Z", "Z") for text in texts]


@lru_cache(maxsize=10_000)
def _day(days: int) -> str:
    return (date(1970, 1, 1) + timedelta(days)).isoformat()


@lru_cache(maxsize=86_400)
def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
