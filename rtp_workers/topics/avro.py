"""An Avro schema -> a reader that turns a body directly into a row, without building a dictionary.

It reads the values at the paths of a section, and keeps the other members. It raises an error for any other schema that
Avro allows, and for every broken body. The careful path, with fastavro, then reads the record or says what is wrong.
https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from fastavro.read import LOGICAL_READERS

from rtp_workers.topics.avro_values import (
    PRIMITIVES,
    NotReadableHereError,
    Reader,
    read_array,
    read_enum,
    read_fixed,
    read_items,
    read_logical,
    read_map,
    read_record,
    read_size,
    read_time,
    read_union,
    text_reader,
)
from rtp_workers.topics.envelopes import MARKS
from rtp_workers.topics.layout import LeftOver
from rtp_workers.topics.paths import Path
from rtp_workers.topics.reading import HEADER_BYTES

Row = tuple[Any, ...]
ReadRow = Callable[[bytes], Row]

ABSENT: Any = object()  # a member that a record does not have
MAX_DEPTH = 12


class RowReader:
    """Reads the bodies of one schema with Python code that is generated once.

    Args:
        schema: the schema as fastavro parses it.
        paths: the paths to read. None leads through a list, and none leads into another.
        dropped: the paths to leave out.

    Attributes:
        row: turns a value in the registry's wire format (it ignores the first 5 bytes) into a row: the values at the
            paths, then the members that stay, `ABSENT` for a missing one. It raises one of `UNREADABLE` if the careful
            path must read the value.
        left_over: where the members that stay belong: their positions in a row, minus the number of paths.
        left_overs: how many members may stay.

    Raises:
        NotReadableHereError: the schema needs the careful path.
    """

    def __init__(self, schema: Any, paths: Sequence[Path], dropped: Sequence[Path]) -> None:
        self._named: Mapping[str, Any] = schema.get("__named_schemas", {}) if isinstance(schema, dict) else {}
        self._places = {path: at for at, path in enumerate(paths)}
        self._dropped = frozenset(dropped)
        self._above = {path[:depth] for path in (*paths, *dropped) for depth in range(1, len(path))}
        self._width = len(paths)
        # The code contains only positions. Names and symbols of the schema are passed to it as values.
        self._code: list[str] = []
        self._values: dict[str, Any] = {
            "size": read_size,
            "items": read_items,
            "absent": ABSENT,
            "Refused": NotReadableHereError,
        }
        schema = self._resolved(schema)
        if schema["type"] != "record" or not MARKS.isdisjoint(field["name"] for field in schema["fields"]):
            raise NotReadableHereError("not a plain record")
        self.left_over = self._record(schema, (), 1)
        self.left_overs = self._width - len(paths)
        self.row: ReadRow = self._compiled()

    def _compiled(self) -> ReadRow:
        names = "".join(f"v{place}, " for place in range(self._width))
        unread = "".join(f"v{place} = " for place in self._places.values())
        code = ["def row(b):", f" p = {HEADER_BYTES}", f" {unread}None" if unread else "", *self._code]
        code += [" if p != len(b): raise Refused", f" return ({names})"]
        exec("\n".join(code), self._values)
        return cast(ReadRow, self._values["row"])

    def _resolved(self, schema: Any) -> dict[str, Any]:
        if isinstance(schema, str):
            schema = self._named.get(schema, {"type": schema})
        if not isinstance(schema, dict) or not isinstance(schema.get("type"), str):
            raise NotReadableHereError("a schema of a form that is not read here")
        return schema

    def _emit(self, depth: int, *lines: str) -> None:
        self._code.extend(" " * depth + line for line in lines)

    def _given(self, value: Any) -> str:
        """Returns the name under which the generated code can use a value."""
        name = f"g{len(self._values)}"
        self._values[name] = value
        return name

    def _keep(self) -> int:
        self._width += 1
        return self._width - 1

    def _record(self, schema: dict[str, Any], prefix: Path, depth: int) -> LeftOver:
        """Writes the code that reads a record. Returns the members that stay."""
        if depth > MAX_DEPTH:
            raise NotReadableHereError("a schema that refers to itself")
        left: list[tuple[str, int | LeftOver]] = []
        for field in schema["fields"]:
            path = (*prefix, field["name"])
            if path in self._above:
                self._inner(field["type"], path, left, depth)
            elif path in self._places:
                self._value(field["type"], f"v{self._places[path]}", depth, as_text=True)
            elif path in self._dropped:
                self._value(field["type"], "gone", depth)
            else:
                place = self._keep()
                left.append((field["name"], place - len(self._places)))
                self._value(field["type"], f"v{place}", depth)
        return LeftOver(tuple(left))

    def _inner(self, schema: Any, path: Path, left: list[tuple[str, int | LeftOver]], depth: int) -> None:
        """Writes the code that reads a record inside the record. If the inner record is null, the null stays."""
        null, inner = _nullable(schema)
        inner = self._resolved(inner)
        if inner["type"] != "record":
            raise NotReadableHereError("a path leads into something that is not a record")
        if null is None:
            below = self._record(inner, path, depth)
        else:
            place = self._keep()
            left.append((str(path[-1]), place - len(self._places)))
            first = self._width
            self._emit(depth, "n = b[p]", "p += 1", f"if n == {2 - 2 * null}:")
            below = self._record(inner, path, depth + 1)
            kept = "".join(f"v{one} = " for one in range(first, self._width))
            self._emit(depth + 1, f"v{place} = absent")
            self._emit(depth, f"elif n != {2 * null}: raise Refused", "else:")
            self._emit(depth + 1, f"{kept}absent" if kept else "pass", f"v{place} = None")
        if below.members:
            left.append((str(path[-1]), below))

    def _value(self, schema: Any, name: str, depth: int, *, as_text: bool = False) -> None:
        """Writes the code that reads one value into a variable.

        Args:
            as_text: True if the value becomes a cell: times and decimals are converted to text at once.
        """
        if isinstance(schema, list):
            null, inner = _nullable(schema)
            if null is None:
                return self._call(self._reader(schema), name, depth)
            self._emit(depth, "n = b[p]", "p += 1", f"if n == {2 - 2 * null}:")
            self._value(inner, name, depth + 1, as_text=as_text)
            return self._emit(depth, f"elif n != {2 * null}: raise Refused", f"else: {name} = None")
        schema = self._resolved(schema)
        kind, logical = schema["type"], _logical(schema)
        text_of = text_reader(logical, schema) if as_text else None
        if kind in ("string", "bytes") and (not logical or text_of is not None):
            self._text(name, depth, ".decode()" if kind == "string" else "")
        elif kind == "map":
            self._map(schema, name, depth)
        elif kind == "enum" and len(schema["symbols"]) <= 64:
            symbols = self._given(tuple(schema["symbols"]))
            self._emit(depth, "n = b[p]", "p += 1", "if n & 129: raise Refused", f"{name} = {symbols}[n >> 1]")
        else:
            reader = self._reader(schema) if text_of is None else self._cell_reader(kind, schema)
            self._call(reader, name, depth)
        if text_of is not None:
            self._emit(depth, f"{name} = {self._given(text_of)}({name})")
        return None

    def _text(self, name: str, depth: int, decoded: str = "") -> None:
        """Writes the code that reads bytes. If the body is cut off, the final check of the position notices."""
        self._emit(depth, "n = b[p]", "if n & 129: n, p = size(b, p)", "else:", " n >>= 1", " p += 1")
        self._emit(depth, f"{name} = b[p:p + n]{decoded}", "p += n")

    def _map(self, schema: dict[str, Any], name: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise NotReadableHereError("a schema that refers to itself")
        member, value = f"k{depth}", f"w{depth}"
        self._emit(depth, f"{name} = {{}}", "while True:")
        self._emit(depth + 1, "n = b[p]", "if n & 129: n, p = items(b, p)", "else:", " n >>= 1", " p += 1")
        self._emit(depth + 1, "if not n: break", "for _ in range(n):")
        self._text(member, depth + 2, ".decode()")
        self._value(schema["values"], value, depth + 2)
        self._emit(depth + 2, f"{name}[{member}] = {value}")

    def _call(self, reader: Reader, name: str, depth: int) -> None:
        self._emit(depth, f"{name}, p = {self._given(reader)}(b, p)")

    def _reader(self, schema: Any, depth: int = 0) -> Reader:
        """Returns a reader for one value that stays as it is."""
        if depth > MAX_DEPTH:
            raise NotReadableHereError("a schema that refers to itself")
        if isinstance(schema, list):
            return partial(read_union, [self._reader(branch, depth + 1) for branch in schema])
        schema = self._resolved(schema)
        plain = self._plain(schema["type"], schema, depth)
        convert = LOGICAL_READERS.get(_logical(schema))
        return plain if convert is None else partial(read_logical, plain, convert, schema)

    def _cell_reader(self, kind: str, schema: dict[str, Any]) -> Reader:
        """Returns a reader for the number or the bytes of a time or a decimal."""
        return read_time if kind == "long" else self._plain(kind, schema, 0)

    def _plain(self, kind: str, schema: dict[str, Any], depth: int) -> Reader:
        if kind in PRIMITIVES:
            return PRIMITIVES[kind]
        if kind == "fixed":
            return partial(read_fixed, schema["size"])
        if kind == "enum":
            return partial(read_enum, tuple(schema["symbols"]))
        if kind == "array":
            return partial(read_array, self._reader(schema["items"], depth + 1))
        if kind == "map":
            return partial(read_map, self._reader(schema["values"], depth + 1))
        if kind == "record":
            fields = [(field["name"], self._reader(field["type"], depth + 1)) for field in schema["fields"]]
            return partial(read_record, fields)
        raise NotReadableHereError(f"a schema of type {kind}")


def _nullable(schema: Any) -> tuple[int | None, Any]:
    """Returns the position of null in a union with one other schema, and that schema; else (None, the schema)."""
    if isinstance(schema, list) and len(schema) == 2 and schema.count("null") == 1:
        null = schema.index("null")
        return null, schema[1 - null]
    return None, schema


def _logical(schema: Mapping[str, Any]) -> str:
    return f"{schema['type']}-{schema['logicalType']}" if "logicalType" in schema else ""
