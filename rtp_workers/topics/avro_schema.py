"""An Avro schema and a section's paths -> which values of a body are read, which stay, and which are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastavro.read import LOGICAL_READERS

from rtp_workers.topics.avro_values import (
    PRIMITIVES,
    NotReadableHereError,
    Reader,
    read_array,
    read_enum,
    read_fixed,
    read_logical,
    read_map,
    read_record,
    read_union,
)
from rtp_workers.topics.envelopes import MARKS
from rtp_workers.topics.layout import LeftOver
from rtp_workers.topics.paths import Path

MAX_DEPTH = 12


@dataclass(frozen=True, slots=True)
class Value:
    """A value to read.

    Attributes:
        place: its position in a row; None if it is left out.
        is_cell: True if it becomes a cell, False if it stays as it is.
    """

    schema: Any
    place: int | None
    is_cell: bool = False


@dataclass(frozen=True, slots=True)
class Inner:
    """A record that paths lead into.

    Attributes:
        null: the position of null in its union; None if it cannot be null.
        place: the position in a row where a null stays; None if it cannot be null.
    """

    fields: tuple[Value | Inner, ...]
    null: int | None = None
    place: int | None = None


@dataclass(frozen=True, slots=True)
class RowPlan:
    """How a body becomes a row: the values at the paths, then the members that stay.

    Attributes:
        fields: what to read, in the body's order.
        cells: the number of paths.
        width: the number of values in a row.
        left_over: where the members that stay belong: their positions in a row, minus the number of paths.
    """

    fields: tuple[Value | Inner, ...]
    cells: int
    width: int
    left_over: LeftOver


class AvroSchema:
    """A schema as fastavro parses it, with the types that it names."""

    def __init__(self, schema: Any) -> None:
        self.root = schema
        self._named: Mapping[str, Any] = schema.get("__named_schemas", {}) if isinstance(schema, dict) else {}

    def resolved(self, schema: Any) -> dict[str, Any]:
        """Returns a schema in the form of an object.

        Raises:
            NotReadableHereError: it has another form, or is a union.
        """
        if isinstance(schema, str):
            schema = self._named.get(schema, {"type": schema})
        if not isinstance(schema, dict) or not isinstance(schema.get("type"), str):
            raise NotReadableHereError("a schema of a form that is not read here")
        return schema

    def reader(self, schema: Any, depth: int = 0) -> Reader:
        """Returns a reader for one value that stays as it is."""
        check_depth(depth)
        if isinstance(schema, list):
            return partial(read_union, [self.reader(branch, depth + 1) for branch in schema])
        schema = self.resolved(schema)
        plain = self.plain_reader(schema, depth)
        convert = LOGICAL_READERS.get(logical(schema))
        return plain if convert is None else partial(read_logical, plain, convert, schema)

    def plain_reader(self, schema: Mapping[str, Any], depth: int = 0) -> Reader:
        """Returns a reader that ignores the logical type of a resolved schema."""
        kind = schema["type"]
        if kind in PRIMITIVES:
            return PRIMITIVES[kind]
        if kind == "fixed":
            return partial(read_fixed, schema["size"])
        if kind == "enum":
            return partial(read_enum, tuple(schema["symbols"]))
        if kind == "array":
            return partial(read_array, self.reader(schema["items"], depth + 1))
        if kind == "map":
            return partial(read_map, self.reader(schema["values"], depth + 1))
        if kind == "record":
            fields = [(field["name"], self.reader(field["type"], depth + 1)) for field in schema["fields"]]
            return partial(read_record, fields)
        raise NotReadableHereError(f"a schema of type {kind}")


def plan_rows(schema: AvroSchema, paths: Sequence[Path], dropped: Sequence[Path]) -> RowPlan:
    """Plans how to read the bodies of a schema.

    Args:
        paths: the paths to read. None leads through a list, and none leads into another.
        dropped: the paths to leave out.

    Raises:
        NotReadableHereError: the schema needs the careful path.
    """
    root = schema.resolved(schema.root)
    if root["type"] != "record" or not MARKS.isdisjoint(field["name"] for field in root["fields"]):
        raise NotReadableHereError("not a plain record")
    planner = _Planner(schema, paths, dropped)
    fields, left_over = planner.record(root, (), 1)
    return RowPlan(fields, len(paths), planner.width, left_over)


class _Planner:
    def __init__(self, schema: AvroSchema, paths: Sequence[Path], dropped: Sequence[Path]) -> None:
        self._schema = schema
        self._places = {path: at for at, path in enumerate(paths)}
        self._dropped = frozenset(dropped)
        self._above = {path[:depth] for path in (*paths, *dropped) for depth in range(1, len(path))}
        self.width = len(paths)

    def record(self, schema: Mapping[str, Any], prefix: Path, depth: int) -> tuple[tuple[Value | Inner, ...], LeftOver]:
        """Returns what to read of a record, and the members that stay."""
        check_depth(depth)
        left: list[tuple[str, int | LeftOver]] = []
        fields: list[Value | Inner] = []
        for field in schema["fields"]:
            path = (*prefix, field["name"])
            if path in self._above:
                fields.append(self._inner(field["type"], path, left, depth))
            elif path in self._places:
                fields.append(Value(field["type"], self._places[path], is_cell=True))
            elif path in self._dropped:
                fields.append(Value(field["type"], None))
            else:
                fields.append(Value(field["type"], self._keep(field["name"], left)))
        return tuple(fields), LeftOver(tuple(left))

    def _inner(self, schema: Any, path: Path, left: list[tuple[str, int | LeftOver]], depth: int) -> Inner:
        """Plans a record inside the record. If the inner record is null, the null stays."""
        null, inner = nullable(schema)
        inner = self._schema.resolved(inner)
        if inner["type"] != "record" or logical(inner):
            raise NotReadableHereError("a path leads into something that is not a record")
        place = None if null is None else self._keep(str(path[-1]), left)
        fields, below = self.record(inner, path, depth + 1)
        if below.members:
            left.append((str(path[-1]), below))
        return Inner(fields, null, place)

    def _keep(self, name: str, left: list[tuple[str, int | LeftOver]]) -> int:
        left.append((name, self.width - len(self._places)))
        self.width += 1
        return self.width - 1


def check_depth(depth: int) -> None:
    """Raises NotReadableHereError for a schema that is nested too deeply, which one that refers to itself always is."""
    if depth > MAX_DEPTH:
        raise NotReadableHereError("a schema that refers to itself")


def nullable(schema: Any) -> tuple[int | None, Any]:
    """Returns the position of null in a union with one other schema, and that schema; else (None, the schema)."""
    if isinstance(schema, list) and len(schema) == 2 and schema.count("null") == 1:
        null = schema.index("null")
        return null, schema[1 - null]
    return None, schema


def logical(schema: Mapping[str, Any]) -> str:
    """Returns the name under which fastavro knows a logical type; ``""`` for a plain type."""
    return f"{schema['type']}-{schema['logicalType']}" if "logicalType" in schema else ""


def kept_places(fields: Sequence[Value | Inner]) -> Iterator[int]:
    """Yields the positions of the members that stay, also of those in inner records."""
    for field in fields:
        if isinstance(field, Inner):
            yield from kept_places(field.fields)
        if field.place is not None and not (isinstance(field, Value) and field.is_cell):
            yield field.place
