"""Columns of Avro values in their binary form -> columns of texts: cells, or JSON that stays in the attributes.

The values come as the groups of a match: a text per value in which each byte is one character (Latin-1), and None if
the record does not have the value. A text or bytes begin with their size in one byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rtp_workers.record.documents import cell_text, encode_json
from rtp_workers.topics.avro_schema import AvroSchema, logical, nullable
from rtp_workers.topics.avro_values import (
    END_MICROS,
    UNREADABLE,
    NotReadableHereError,
    Reader,
    integers_of_eight_bytes,
    micros_texts,
    read_long,
    read_string,
    text_reader,
)
from rtp_workers.topics.json_rows import escaped

Spans = Sequence[str | None]
# Turns a column into texts, "" for a missing value. Adds the positions that the careful path must read to the set.
TextColumn = Callable[[Spans, set[int]], list[str]]

MICROS_PER = {"long-timestamp-micros": 1, "long-timestamp-millis": 1000}
REMEMBERED = 20_000  # values of a column; then the memory starts afresh
LONGEST_REMEMBERED = 64
_ZERO = "\0"  # an integer
# What a value becomes that cannot be read here. No cell may contain this character, and JSON escapes it.
_UNFIT = "\0"


def cells_of(schema: AvroSchema, wanted: Any) -> TextColumn:
    """Returns what turns values of a schema into cells."""
    if isinstance(wanted, list):
        return Remembered(partial(_cell, schema.reader(wanted))).column
    wanted = schema.resolved(wanted)
    kind = logical(wanted)
    if wanted["type"] == "string" and not kind:
        return _texts
    if kind in MICROS_PER:
        return partial(_times, MICROS_PER[kind])
    text_of = text_reader(kind, wanted)
    if text_of is not None:
        sized = wanted["type"] == "bytes"
        return Remembered(lambda span: text_of(span[1:] if sized else span)).column
    return Remembered(partial(_cell, schema.reader(wanted))).column


def kept_texts_of(schema: AvroSchema, kept: Any, member: re.Pattern[str] | None) -> TextColumn:
    """Returns what turns values that stay into JSON, escaped for COPY.

    Args:
        member: matches one member, if the value is a map.
    """
    null, inner = nullable(kept)
    start, null_span = (0, None) if null is None else (1, chr(2 * null))
    if member is not None:
        return partial(_json_maps, member, _members_of(schema, inner), start, null_span)
    if not isinstance(inner, list) and _is_text(schema.resolved(inner)):
        return partial(_json_texts, start, null_span)
    json_of = Remembered(partial(_json, schema.reader(kept))).column
    return lambda column, unfit: escaped(json_of(column, unfit), unfit)


class Remembered(dict[str | None, str]):
    """The texts of a column's values, by their bytes. Most columns repeat a few values.

    Args:
        read: returns the text of a value; it may raise one of `UNREADABLE`.
    """

    def __init__(self, read: Callable[[bytes], str]) -> None:
        super().__init__({None: ""})
        self._read = read

    def __missing__(self, span: str) -> str:
        try:
            text = self._read(span.encode("latin-1"))
        except UNREADABLE:
            text = _UNFIT
        if len(span) <= LONGEST_REMEMBERED:
            self[span] = text
        return text

    def column(self, column: Spans, unfit: set[int]) -> list[str]:
        """Does what `TextColumn` says."""
        self.limit()
        return _fit(list(map(self.__getitem__, column)), unfit)

    def limit(self) -> None:
        """Forgets everything if there is much to remember."""
        if len(self) > REMEMBERED:
            self.clear()
            self[None] = ""


def _fit(texts: list[str], unfit: set[int]) -> list[str]:
    if _UNFIT in "".join(texts):
        unfit.update(at for at, text in enumerate(texts) if _UNFIT in text)
    return texts


def _texts(column: Spans, unfit: set[int]) -> list[str]:
    return _decoded([span[1:] if span else "" for span in column], unfit)


def _decoded(texts: list[str], unfit: set[int]) -> list[str]:
    """Decodes UTF-8."""
    if "".join(texts).isascii():
        return texts
    return _fit([text if text.isascii() else _utf8(text) for text in texts], unfit)


def _utf8(text: str) -> str:
    try:
        return text.encode("latin-1").decode()
    except UnicodeDecodeError:
        return _UNFIT


def _times(micros: int, column: Spans, unfit: set[int]) -> list[str]:
    numbers = _integers([span or _ZERO for span in column])
    if micros != 1:
        numbers = [number * micros for number in numbers]
    if min(numbers) < 0 or max(numbers) >= END_MICROS:
        strange = {at for at, number in enumerate(numbers) if not 0 <= number < END_MICROS}
        unfit |= strange
        numbers = [0 if at in strange else number for at, number in enumerate(numbers)]
    texts = micros_texts(numbers)
    return [text if span else "" for text, span in zip(texts, column, strict=True)] if None in column else texts


def _integers(spans: Sequence[str]) -> list[int]:
    body = "".join(spans).encode("latin-1")
    if len(body) == 8 * len(spans) and set(map(len, spans)) == {8}:
        return integers_of_eight_bytes(body)
    found = []
    at = 0
    while at < len(body):
        number, at = read_long(body, at)
        found.append(number)
    return found


def _json_texts(start: int, null: str | None, column: Spans, unfit: set[int]) -> list[str]:
    """Returns texts as JSON. ``start``: the position of the size; before it is the branch of the union."""
    texts = _decoded([span[start + 1 :] if span else "" for span in column], unfit)
    joined = "".join(texts)
    if joined.isprintable() and '"' not in joined and "\\" not in joined:
        found = [f'"{text}"' for text in texts]
    else:
        found = escaped([encode_json(text).decode() for text in texts], unfit)
    if None not in column and null not in column:
        return found
    return ["" if span is None else "null" if span == null else text for span, text in zip(column, found, strict=True)]


def _json_maps(
    member: re.Pattern[str], members: Remembered, start: int, null: str | None, column: Spans, unfit: set[int]
) -> list[str]:
    """Returns maps as JSON. ``start``: the position of the number of members. After the last one comes a zero."""
    members.limit()
    find, text_of, first = member.findall, members.__getitem__, start + 1
    texts = [
        ""
        if span is None
        else "null"
        if span == null
        else f"{{{','.join(map(text_of, find(span, first, len(span) - 1)))}}}"
        for span in column
    ]
    return escaped(_fit(texts, unfit), unfit)


def _members_of(schema: AvroSchema, of_map: Any) -> Remembered:
    return Remembered(partial(_json_member, schema.reader(schema.resolved(of_map)["values"])))


def _json_member(read: Reader, span: bytes) -> str:
    name, at = read_string(span, 0)
    return f"{encode_json(name).decode()}:{_json(read, span, at)}"


def _json(read: Reader, span: bytes, at: int = 0) -> str:
    return encode_json(_whole(read, span, at)).decode()


def _cell(read: Reader, span: bytes) -> str:
    return cell_text(_whole(read, span, 0))


def _whole(read: Reader, span: bytes, at: int) -> Any:
    value, end = read(span, at)
    if end != len(span):
        raise NotReadableHereError("a value that ends elsewhere")
    return value


def _is_text(schema: Mapping[str, Any]) -> bool:
    return schema["type"] == "string" and not logical(schema)
