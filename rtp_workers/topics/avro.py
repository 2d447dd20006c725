"""An Avro schema -> a reader that turns a body directly into a row, without building a dictionary.

It raises an error for schemas that it does not know, and for every broken body. The careful path, with fastavro, then
reads the record or says what is wrong. https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from rtp_workers.topics.avro_schema import (
    AvroSchema,
    Inner,
    RowPlan,
    Value,
    check_depth,
    kept_places,
    logical,
    nullable,
)
from rtp_workers.topics.avro_values import (
    NotReadableHereError,
    Reader,
    read_items,
    read_size,
    text_reader,
)
from rtp_workers.topics.reading import HEADER_BYTES

Row = tuple[Any, ...]
ReadRow = Callable[[bytes], Row]

ABSENT: Any = object()  # a member that a record does not have
WITHOUT_PLACE = "gone"  # the variable of values that are left out


class RowReader:
    """Reads the bodies of one schema with Python code that is generated once.

    Attributes:
        row: turns a value in the registry's wire format (it ignores the first 5 bytes) into a row: the values at the
            paths, then the members that stay, `ABSENT` for a missing one. It raises one of `UNREADABLE` if the careful
            path must read the value.

    Raises:
        NotReadableHereError: the schema needs the careful path.
    """

    def __init__(self, schema: AvroSchema, plan: RowPlan) -> None:
        self._schema = schema
        # The code contains only positions. Names and symbols of the schema are passed to it as values.
        self._code: list[str] = []
        self._values: dict[str, Any] = {
            "size": read_size,
            "items": read_items,
            "absent": ABSENT,
            "Refused": NotReadableHereError,
        }
        self._fields(plan.fields, 1)
        self.row: ReadRow = self._compiled(plan)

    def _compiled(self, plan: RowPlan) -> ReadRow:
        names = "".join(f"v{place}, " for place in range(plan.width))
        unread = "".join(f"v{place} = " for place in range(plan.cells))
        code = ["def row(b):", f" p = {HEADER_BYTES}", f" {unread}None" if unread else "", *self._code]
        code += [" if p != len(b): raise Refused", f" return ({names})"]
        exec("\n".join(code), self._values)
        return cast(ReadRow, self._values["row"])

    def _emit(self, depth: int, *lines: str) -> None:
        self._code.extend(" " * depth + line for line in lines)

    def _given(self, value: Any) -> str:
        """Returns the name under which the generated code can use a value."""
        name = f"g{len(self._values)}"
        self._values[name] = value
        return name

    def _fields(self, fields: Sequence[Value | Inner], depth: int) -> None:
        """Writes the code that reads the fields of a record."""
        for field in fields:
            if isinstance(field, Inner):
                self._inner(field, depth)
            else:
                name = WITHOUT_PLACE if field.place is None else f"v{field.place}"
                self._value(field.schema, name, depth, as_text=field.is_cell)

    def _inner(self, inner: Inner, depth: int) -> None:
        if inner.null is None:
            return self._fields(inner.fields, depth)
        self._emit(depth, "n = b[p]", "p += 1", f"if n == {2 - 2 * inner.null}:")
        self._fields(inner.fields, depth + 1)
        kept = "".join(f"v{place} = " for place in kept_places(inner.fields))
        self._emit(depth + 1, f"v{inner.place} = absent")
        self._emit(depth, f"elif n != {2 * inner.null}: raise Refused", "else:")
        return self._emit(depth + 1, f"{kept}absent" if kept else "pass", f"v{inner.place} = None")

    def _value(self, schema: Any, name: str, depth: int, *, as_text: bool = False) -> None:
        """Writes the code that reads one value into a variable.

        Args:
            as_text: True if the value becomes a cell: times and decimals are converted to text at once.
        """
        if isinstance(schema, list):
            null, inner = nullable(schema)
            if null is None:
                return self._call(self._schema.reader(schema), name, depth)
            self._emit(depth, "n = b[p]", "p += 1", f"if n == {2 - 2 * null}:")
            self._value(inner, name, depth + 1, as_text=as_text)
            return self._emit(depth, f"elif n != {2 * null}: raise Refused", f"else: {name} = None")
        schema = self._schema.resolved(schema)
        kind = schema["type"]
        text_of = text_reader(logical(schema), schema) if as_text else None
        if kind in ("string", "bytes") and (not logical(schema) or text_of is not None):
            self._text(name, depth, ".decode()" if kind == "string" else "")
        elif kind == "map":
            self._map(schema, name, depth)
        elif kind == "enum" and len(schema["symbols"]) <= 64:
            symbols = self._given(tuple(schema["symbols"]))
            self._emit(depth, "n = b[p]", "p += 1", "if n & 129: raise Refused", f"{name} = {symbols}[n >> 1]")
        elif text_of is None:
            self._call(self._schema.reader(schema), name, depth)
        else:
            self._call(self._schema.plain_reader(schema), name, depth)
        if text_of is not None:
            self._emit(depth, f"{name} = {self._given(text_of)}({name})")
        return None

    def _text(self, name: str, depth: int, decoded: str = "") -> None:
        """Writes the code that reads bytes. If the body is cut off, the final check of the position notices."""
        self._emit(depth, "n = b[p]", "if n & 129: n, p = size(b, p)", "else:", " n >>= 1", " p += 1")
        self._emit(depth, f"{name} = b[p:p + n]{decoded}", "p += n")

    def _map(self, schema: dict[str, Any], name: str, depth: int) -> None:
        check_depth(depth)
        member, value = f"k{depth}", f"w{depth}"
        self._emit(depth, f"{name} = {{}}", "while True:")
        self._emit(depth + 1, "n = b[p]", "if n & 129: n, p = items(b, p)", "else:", " n >>= 1", " p += 1")
        self._emit(depth + 1, "if not n: break", "for _ in range(n):")
        self._text(member, depth + 2, ".decode()")
        self._value(schema["values"], value, depth + 2)
        self._emit(depth + 2, f"{name}[{member}] = {value}")

    def _call(self, reader: Reader, name: str, depth: int) -> None:
        self._emit(depth, f"{name}, p = {self._given(reader)}(b, p)")
