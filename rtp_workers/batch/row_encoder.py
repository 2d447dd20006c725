"""Rows of canonical cells -> Kafka values and keys.

One pattern proves many rows clean at once: it matches only rows that `record.codec.check` accepts. Those are encoded
column by column, in C loops, to the same bytes that `record.codec.encode` gives. Every other row takes the careful
path: a Transaction is built, checked and encoded, or the row is refused. A property test holds both paths equal.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import msgspec

from rtp_workers.batch.quoted_record import QUOTED_EMPTY
from rtp_workers.batch.rows import RefusedRow, refused_row
from rtp_workers.errors import RecordError
from rtp_workers.record import codec
from rtp_workers.record.transaction import FIELDS, MAX_ATTRIBUTES_BYTES, RULES, Field, Transaction

UNIT_SEPARATOR = "\x1f"
ATTRIBUTES = "attributes"
# Stricter than record.forms: years at the edge of the range and unusual texts take the careful path.
_CLEAN_INSTANT = (
    r"(?:19(?:0[1-9]|[1-9][0-9])|20[0-9]{2})-"
    r"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:Z|[+-](?:0[0-9]|1[0-5]):[0-5][0-9])"
)
_CLEAN_AMOUNT = r"-?[0-9]{1,20}(?:\.[0-9]{1,18})?"
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_ENCODER = msgspec.json.Encoder()
# An object with at most this many characters is within MAX_ATTRIBUTES_BYTES, however its numbers are rewritten.
_SURELY_SMALL = MAX_ATTRIBUTES_BYTES // 8
# The record as `record.codec.encode` writes it, with its fields by position.
_Body = msgspec.defstruct(
    "Body", [(field.name, Any) if field.required else (field.name, Any, None) for field in FIELDS],
    omit_defaults=True, gc=False,
)  # fmt: skip

Refusal = Callable[[int, str, int], RefusedRow | None]


@dataclass(slots=True)
class Encoded:
    """Records ready to be sent, in file order, and the rows that were refused.

    Attributes:
        values: one JSON value per record.
        keys: one Kafka key per record.
        refused: the refused rows, by line.
        first_at: the earliest instant among the records, as text; None if nobody has looked.
        last_at: the latest instant, likewise.
    """

    values: list[bytes] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)
    first_at: str | None = None
    last_at: str | None = None


class RowEncoder:
    """Encodes rows whose cells are the record's fields.

    Args:
        columns: the field of each cell; optional fields may be missing.
        delimiter: the file's delimiter, for `encode_lines`.
        quotechar: the file's quote character. A line that contains one is not clean.
        trusted_attributes: True if the cells of `attributes` are JSON objects within the limits, written by us.
    """

    def __init__(
        self, columns: Sequence[str], delimiter: str = ",", quotechar: str = '"', *, trusted_attributes: bool = False
    ) -> None:
        self._columns = tuple(columns)
        self._delimiter, self._quotechar = delimiter, quotechar
        self._trusted = trusted_attributes
        self._clean_lines = self._pattern(delimiter, quotechar, "")
        self._clean_quoted = self._pattern(delimiter, quotechar, _quoted_text(quotechar), quotable=True)
        self._clean_joined = self._pattern(UNIT_SEPARATOR, UNIT_SEPARATOR, "[^\x1f\n]*+")
        self._places = {name: at for at, name in enumerate(self._columns)}

    def encode_lines(self, text: str, first_line: int, refusal: Refusal) -> Encoded:
        """Encodes unquoted lines.

        Args:
            text: rows that all end with LF and contain no quote character.
            first_line: line number of the first row.
            refusal: called with a line number, the line and its number of cells; returns why it is not a row, or None.
        """
        encoded = Encoded()
        position, line = 0, first_line
        while position < len(text):
            end = self._clean_match(self._clean_lines, text, position)
            if end > position:
                # Proven rows have a cell for every column, so all of them can be split at once.
                cells = text[position : end - 1].replace("\n", self._delimiter).split(self._delimiter)
                columns = [cells[at :: len(self._columns)] for at in range(len(self._columns))]
                line += self._add_proven(encoded, columns)
                position = end
                continue
            end = text.index("\n", position)
            raw = text[position:end]
            cells = raw.split(self._delimiter)
            refused = refusal(line, raw, len(cells))
            if refused is None:
                self._add_careful(encoded, cells, line, raw)
            else:
                encoded.refused.append(refused)
            position, line = end + 1, line + 1
        return encoded

    def encode_quoted_lines(self, text: str) -> tuple[Encoded, int]:
        """Encodes the lines at the start of a text that are clean rows as they stand, with some of their cells quoted.

        Args:
            text: lines that start with a row. They may end with CRLF.

        Returns:
            The records, and how many characters of the text they take. What follows needs a closer look.
        """
        encoded, end = Encoded(), self._clean_match(self._clean_quoted, text, 0)
        if not end:
            return encoded, 0
        lines = io.StringIO(text[:end], newline="")
        rows = list(csv.reader(lines, delimiter=self._delimiter, quotechar=self._quotechar, strict=True))
        objects, odd = self._objects(rows)
        if odd:
            return encoded, 0
        self._add_proven(encoded, list(zip(*rows, strict=True)), objects)
        return encoded, end

    def encode_cells(
        self, rows: Sequence[Sequence[str]], lines: Sequence[int], raws: Sequence[str], uncommon: set[int]
    ) -> Encoded:
        """Encodes rows that have one cell for each column.

        Args:
            rows: the cells; QUOTED_EMPTY is an empty text, any other empty cell is null.
            lines: line number of each row.
            raws: each row as the file writes it.
            uncommon: indexes of rows that contain newlines or QUOTED_EMPTY: they take the careful path.
        """
        encoded = Encoded()
        objects, odd = self._objects(rows)
        start = 0
        for index in [*sorted(uncommon | odd), len(rows)]:
            self._add_run(encoded, rows, objects, lines, raws, range(start, index))
            if index < len(rows):
                self._add_careful(encoded, rows[index], lines[index], raws[index])
            start = index + 1
        return encoded

    def _objects(self, rows: Sequence[Sequence[str]]) -> tuple[list[Any], set[int]]:
        """Returns each row's `attributes`, ready to be encoded, and the rows that must take the careful path."""
        at = self._places.get(ATTRIBUTES)
        if at is None:
            return [], set()
        texts = [row[at] for row in rows]
        if self._trusted:
            return [msgspec.Raw(text) if text else None for text in texts], set()
        if max(map(len, texts), default=0) <= _SURELY_SMALL and "\\u0000" not in "\n".join(texts):
            with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
                return [_OBJECT.decode(text) if text else None for text in texts], set()
        objects, odd = [], set[int]()
        for index, text in enumerate(texts):
            objects.append(_sure_object(text))
            if text and objects[-1] is None:
                odd.add(index)
        return objects, odd

    def _add_run(
        self,
        encoded: Encoded,
        rows: Sequence[Sequence[str]],
        objects: Sequence[Any],
        lines: Sequence[int],
        raws: Sequence[str],
        run: range,
    ) -> None:
        text = "\n".join(map(UNIT_SEPARATOR.join, rows[run.start : run.stop])) + "\n"
        position, index = 0, run.start
        proven = text.count("\n") == len(run)  # else a cell contains a newline, and lines are not rows
        while index < run.stop:
            end = self._clean_match(self._clean_joined, text, position) if proven else position
            if end > position:
                count = text.count("\n", position, end)
                columns = list(zip(*rows[index : index + count], strict=True))
                self._add_proven(encoded, columns, objects[index : index + count])
                index, position = index + count, end
                continue
            self._add_careful(encoded, rows[index], lines[index], raws[index])
            position = text.find("\n", position) + 1
            index += 1

    @staticmethod
    def _clean_match(pattern: re.Pattern[str], text: str, position: int) -> int:
        match = pattern.match(text, position)
        return match.end() if match else position

    def _add_proven(self, encoded: Encoded, columns: Sequence[Sequence[str]], objects: Sequence[Any] = ()) -> int:
        """Adds rows that were proven clean, and returns how many.

        Args:
            columns: their cells, column by column.
            objects: their `attributes`; empty if no row has any.
        """
        members: list[Iterable[Any]] = []
        for field_ in FIELDS:
            column = columns[self._places[field_.name]] if field_.name in self._places else ()
            if field_.name == ATTRIBUTES:
                members.append(objects or repeat(None))
            elif not column:
                members.append(repeat(None))
            else:
                members.append([cell or None for cell in column] if "" in column else column)
        encoded.values += map(_ENCODER.encode, map(_Body, *members))
        ids = columns[self._places["transaction_id"]]
        customers = columns[self._places["customer_id"]] if "customer_id" in self._places else ids
        encoded.keys += [(customer or other).encode() for customer, other in zip(customers, ids, strict=True)]
        return len(ids)

    def _add_careful(self, encoded: Encoded, cells: Sequence[str], line: int, raw: str) -> None:
        try:
            transaction = self._transaction(cells)
            codec.check(transaction)
            value = codec.encode(transaction)
        except RecordError as error:
            encoded.refused.append(refused_row(line, error.reason, error.detail, raw))
            return
        encoded.values.append(value)
        encoded.keys.append(codec.record_key(transaction))

    def _transaction(self, cells: Sequence[str]) -> Transaction:
        values: dict[str, Any] = dict(zip(self._columns, cells, strict=True))
        for field_ in FIELDS:
            value = values.get(field_.name)
            if value is not None and not value:
                values[field_.name] = None if _means_null(field_, value) else ""
        if values.get(ATTRIBUTES) is not None:
            values[ATTRIBUTES] = _object(values[ATTRIBUTES])
        return Transaction(**values)

    def _pattern(self, separator: str, quotechar: str, attributes: str, *, quotable: bool = False) -> re.Pattern[str]:
        excluded = "".join(re.escape(character) for character in dict.fromkeys((separator, quotechar)))
        quote, end = (re.escape(quotechar), "\r?\n") if quotable else ("", "\n")
        cells = [attributes if name == ATTRIBUTES else self._cell(name, excluded, quote) for name in self._columns]
        return re.compile(f"(?:{re.escape(separator).join(cells)}{end})*+")

    def _cell(self, name: str, excluded: str, quote: str) -> str:
        rule = RULES[name]
        if rule.kind == "instant":
            return _CLEAN_INSTANT
        if rule.kind == "decimal":
            return _CLEAN_AMOUNT
        if rule.pattern:
            return f"(?:{rule.pattern})?"
        controls = "\x00-\x1f" if rule.controls else "\x00-\x1f\x7f-\x9f"
        bare = f"[^{excluded}{controls}\ud800-\udfff]{{{rule.min_length},{rule.max_length}}}+"
        # An empty text in quotes is not null, so it takes the careful path.
        return f"(?:{bare}|{quote}[^{quote}{controls}\ud800-\udfff]{{1,{rule.max_length}}}+{quote})" if quote else bare


def _quoted_text(quotechar: str) -> str:
    """Returns the pattern of a cell that is empty, or quoted with its quotes doubled."""
    quote = re.escape(quotechar)
    text = f"[^{quote}\x00-\x1f\ud800-\udfff]*+"
    return f"(?:{quote}{text}(?:{quote}{quote}{text})*+{quote})?"


def _means_null(field_: Field, value: str) -> bool:
    """Tells whether an empty cell is null: it is unquoted, or the field cannot hold an empty text (codes, objects)."""
    if field_.required:
        return False
    return value is not QUOTED_EMPTY or field_.rule.pattern is not None or field_.name == ATTRIBUTES


def _sure_object(text: str) -> dict[str, Any] | None:
    """Returns the object; None if there is none, or if the careful path must decide."""
    if not text or len(text) > _SURELY_SMALL or "\\u0000" in text:
        return None
    try:
        return _OBJECT.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _object(text: str) -> dict[str, Any]:
    try:
        return _OBJECT.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RecordError(
            "attributes_object", f"attributes is not a JSON object: {error}", field="attributes"
        ) from error
