"""An Avro schema -> a regular expression that matches its bodies, and whose groups are the values of a row.

One match takes the place of many steps in Python. An expression cannot count, so it has an alternative for each length
of a text and each number of members, up to a limit. Each alternative starts with a different byte: at most one fits.
A body beyond the limits does not match, and neither does a broken one; `RowReader` reads the former.

The expression reads a body as Latin-1, in which each byte is one character.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rtp_workers.topics.avro_columns import TextColumn, cells_of, kept_texts_of
from rtp_workers.topics.avro_schema import AvroSchema, Inner, RowPlan, Value, check_depth, nullable
from rtp_workers.topics.avro_values import NotReadableHereError
from rtp_workers.topics.reading import HEADER_BYTES

MOST_MEMBERS = 8  # of a list or a map
ONE_BYTE = 64  # as many lengths, symbols and branches does one byte tell apart
MOST_CHARACTERS = 100_000  # of an expression; it compiles in about 0.2 s


def _byte(number: int) -> str:
    return f"\\x{number:02x}"


_TEXT = f"(?:{'|'.join(f'{_byte(2 * size)}.{{{size}}}' for size in range(ONE_BYTE))})"
_INTEGER = r"[\x80-\xff]{0,8}+[\x00-\x7f]"
_PRIMITIVES = {
    "null": "",
    "boolean": r"[\x00\x01]",
    "int": _INTEGER,
    "long": _INTEGER,
    "float": ".{4}",
    "double": ".{8}",
    "bytes": _TEXT,
    "string": _TEXT,
}


class BodyPattern:
    """Reads the short bodies of one schema. Not thread-safe.

    Raises:
        NotReadableHereError: the schema has too many forms for an expression.
    """

    def __init__(self, schema: AvroSchema, plan: RowPlan) -> None:
        self._schema, self._plan = schema, plan
        self._columns: list[tuple[int | None, TextColumn]] = []  # one for each group: its place in a row, its reader
        source = _checked(self._fields(plan.fields))
        self._match = re.compile(source, re.DOTALL).fullmatch

    def groups(self, values: Sequence[bytes]) -> list[tuple[str | None, ...] | None]:
        """Returns the bytes of each record's values, as Latin-1; None for a record that does not match."""
        match = self._match
        matches = [match(str(value, "latin-1"), HEADER_BYTES) for value in values]
        return [None if found is None else found.groups() for found in matches]

    def texts(self, groups: Sequence[tuple[str | None, ...]], unfit: set[int]) -> list[list[str]]:
        """Returns one column of texts per path (``""`` for null), then one per member that stays: its JSON.

        Args:
            groups: what matched; at least one record.
            unfit: receives the positions of records that the careful path must read.
        """
        columns: list[list[str]] = [[""] * len(groups) for _ in range(self._plan.cells)]
        columns += [[] for _ in range(self._plan.width - self._plan.cells)]
        for (place, texts_of), column in zip(self._columns, zip(*groups, strict=True), strict=True):
            texts = texts_of(column, unfit)
            if place is not None:
                columns[place] = texts
        return columns

    def _fields(self, fields: Sequence[Value | Inner]) -> str:
        return "".join(self._inner(field) if isinstance(field, Inner) else self._value(field) for field in fields)

    def _inner(self, inner: Inner) -> str:
        fields = self._fields(inner.fields)
        if inner.null is None:
            return fields
        self._columns.append((inner.place, _nulls))
        return f"(?:{_byte(2 - 2 * inner.null)}{fields}|{_byte(2 * inner.null)}())"

    def _value(self, value: Value) -> str:
        if not value.is_cell:  # what is left out is read too, because a record with a broken text is refused
            pair = _member_of(self._schema, value.schema)
            self._columns.append((value.place, kept_texts_of(self._schema, value.schema, pair)))
            return f"({span_of(self._schema, value.schema)})"
        null, inner = nullable(value.schema)
        self._columns.append((value.place, cells_of(self._schema, inner)))
        span = span_of(self._schema, inner)
        return f"({span})" if null is None else f"(?:{_byte(2 - 2 * null)}({span})|{_byte(2 * null)})"


def span_of(schema: AvroSchema, wanted: Any, depth: int = 0) -> str:
    """Returns an expression without groups for one value.

    Raises:
        NotReadableHereError: the schema has too many forms for an expression.
    """
    check_depth(depth)
    if isinstance(wanted, list):
        branches = [_byte(2 * at) + span_of(schema, branch, depth + 1) for at, branch in enumerate(_few(wanted))]
        return _checked(f"(?:{'|'.join(branches)})")
    wanted = schema.resolved(wanted)
    kind = wanted["type"]
    if kind in _PRIMITIVES:
        return _PRIMITIVES[kind]
    if kind == "fixed":
        return f".{{{int(wanted['size'])}}}"
    if kind == "enum":
        return f"[{''.join(_byte(2 * at) for at, _ in enumerate(_few(wanted['symbols'])))}]"
    if kind == "array":
        return _members(span_of(schema, wanted["items"], depth + 1))
    if kind == "map":
        return _members(_TEXT + span_of(schema, wanted["values"], depth + 1))
    if kind == "record":
        return _checked("".join(span_of(schema, field["type"], depth + 1) for field in wanted["fields"]))
    raise NotReadableHereError(f"a schema of type {kind}")


def _member_of(schema: AvroSchema, kept: Any) -> re.Pattern[str] | None:
    """Returns an expression for one member of a map that stays; None if the value is not a map."""
    inner = nullable(kept)[1]
    if isinstance(inner, list) or schema.resolved(inner)["type"] != "map":
        return None
    return re.compile(_TEXT + span_of(schema, schema.resolved(inner)["values"]), re.DOTALL)


def _members(member: str) -> str:
    """Returns an expression for a list or a map in one block."""
    blocks = [f"{_byte(2 * count)}(?:{member}){{{count}}}\\x00" for count in range(1, MOST_MEMBERS + 1)]
    return _checked(f"(?:\\x00|{'|'.join(blocks)})")


def _few(forms: Sequence[Any]) -> Sequence[Any]:
    if not 0 < len(forms) <= ONE_BYTE:
        raise NotReadableHereError("more forms than one byte tells apart")
    return forms


def _checked(expression: str) -> str:
    if len(expression) > MOST_CHARACTERS:
        raise NotReadableHereError("a schema with too many forms")
    return expression


def _nulls(column: Sequence[str | None], unfit: set[int]) -> list[str]:
    """Returns JSON's null where an inner record is null; the group is empty then."""
    return ["" if span is None else "null" for span in column]
