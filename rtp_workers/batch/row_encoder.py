"""Rows of canonical cells -> Kafka values and keys: one pattern proves many rows clean at once, the rest one by one.

The pattern admits only rows that `record.codec.check` accepts and whose JSON needs no escape; for those a template
gives the very bytes that `record.codec.encode` gives. Every other row takes the careful path: a Transaction is built,
checked and encoded, or refused by its line. A property test holds both paths equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import msgspec

from rtp_workers.batch.quoted_record import QUOTED_EMPTY
from rtp_workers.batch.rows import RefusedRow, refused_row
from rtp_workers.errors import RecordError
from rtp_workers.record import codec
from rtp_workers.record.transaction import FIELD_NAMES, FIELDS, Field, Transaction

UNIT_SEPARATOR = "\x1f"
ATTRIBUTES = "attributes"
# Stricter than record.forms: years at the edge of the range and what is unusual go the careful way.
_CLEAN_INSTANT = (
    r"(?:19(?:0[1-9]|[1-9][0-9])|20[0-9]{2})-"
    r"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:Z|[+-](?:0[0-9]|1[0-5]):[0-5][0-9])"
)
_CLEAN_AMOUNT = r"-?[0-9]{1,20}(?:\.[0-9]{1,12})?"
_OBJECT = msgspec.json.Decoder(dict[str, Any])

Refusal = Callable[[int, str, int], RefusedRow | None]


@dataclass(slots=True)
class Encoded:
    """Records ready to be sent, in file order, and the rows that are none.

    Attributes:
        values: JSON, one a record.
        keys: Kafka key, one a record.
        refused: rows refused, by line.
    """

    values: list[bytes] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)


class RowEncoder:
    """Encodes rows whose cells are the record's fields.

    Args:
        columns: the field of each cell; optional fields may be missing.
        delimiter: the file's, for `encode_lines`.
        quotechar: the file's; a line that holds one is not clean.
        trusted_attributes: the cells of `attributes` are JSON objects within the limits, written by us.
    """

    def __init__(
        self, columns: Sequence[str], delimiter: str = ",", quotechar: str = '"', *, trusted_attributes: bool = False
    ) -> None:
        self._columns = tuple(columns)
        self._delimiter = delimiter
        self._trusted = trusted_attributes
        self._clean_lines = self._pattern(delimiter, quotechar)
        self._clean_joined = self._pattern(UNIT_SEPARATOR, '"')
        texts = [name for name in FIELD_NAMES if name in self._columns and name != ATTRIBUTES]
        members = [f'"{name}":"%s"' for name in texts]
        self._template = f"{{{','.join(members)}}}\n"
        self._written = [self._columns.index(name) for name in texts]
        self._turned = self._written != list(range(len(self._columns)))
        self._nulls = tuple(f',"{field.name}":""' for field in FIELDS if not field.required)
        self._attributes = (
            self._columns.index(ATTRIBUTES) if ATTRIBUTES in self._columns and trusted_attributes else None
        )
        self._key = self._columns.index("customer_id") if "customer_id" in self._columns else None
        self._id = self._columns.index("transaction_id")

    def encode_lines(self, text: str, first_line: int, refusal: Refusal) -> Encoded:
        """Encodes unquoted lines.

        Args:
            text: rows that all end with LF and hold no quote character.
            first_line: line number of the first.
            refusal: says of a line number, line and number of cells why it is no row, or None.
        """
        encoded = Encoded()
        position, line = 0, first_line
        while position < len(text):
            end = self._clean_match(self._clean_lines, text, position)
            if end > position:
                line += self._add_clean(encoded, text[position:end], self._delimiter)
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

    def encode_cells(
        self, rows: Sequence[Sequence[str]], lines: Sequence[int], raws: Sequence[str], uncommon: set[int]
    ) -> Encoded:
        """Encodes rows of cells, all of the columns' number.

        Args:
            rows: cells; QUOTED_EMPTY is an empty text, any other empty cell is null.
            lines: line number of each row.
            raws: each row as it stands in the file.
            uncommon: indexes of rows that hold newlines, quotes or QUOTED_EMPTY: they go the careful way.
        """
        encoded = Encoded()
        start = 0
        for index in [*sorted(uncommon), len(rows)]:
            self._add_run(encoded, rows, lines, raws, range(start, index))
            if index < len(rows):
                self._add_careful(encoded, rows[index], lines[index], raws[index])
            start = index + 1
        return encoded

    def _add_run(
        self, encoded: Encoded, rows: Sequence[Sequence[str]], lines: Sequence[int], raws: Sequence[str], run: range
    ) -> None:
        text = "".join([UNIT_SEPARATOR.join(rows[index]) + "\n" for index in run])
        position, index = 0, run.start
        proven = text.count("\n") == len(run)  # else a cell holds a newline after all, and lines are no rows
        if proven and text and self._clean_match(self._clean_joined, text, 0) == len(text):
            cells = list(chain.from_iterable(rows if len(run) == len(rows) else rows[run.start : run.stop]))
            self._add_proven(encoded, cells, "" in cells)
            return
        while index < run.stop:
            end = self._clean_match(self._clean_joined, text, position) if proven else position
            if end > position:
                index += self._add_clean(encoded, text[position:end], UNIT_SEPARATOR)
                position = end
                continue
            self._add_careful(encoded, rows[index], lines[index], raws[index])
            position = text.find("\n", position) + 1
            index += 1

    @staticmethod
    def _clean_match(pattern: re.Pattern[str], text: str, position: int) -> int:
        match = pattern.match(text, position)
        return match.end() if match else position

    def _add_clean(self, encoded: Encoded, text: str, separator: str) -> int:
        """Adds proven rows: each has a cell for every column, so all of them can be cut and filled at once."""
        cells = text[:-1].replace("\n", separator).split(separator)
        has_empty = (
            separator * 2 in text or separator + "\n" in text or text[0] == separator or "\n" + separator in text
        )
        return self._add_proven(encoded, cells, has_empty)

    def _add_proven(self, encoded: Encoded, cells: list[str], has_empty: bool) -> int:
        """Adds the rows whose cells these are, one after the other; returns how many."""
        width = len(self._columns)
        count = len(cells) // width
        columns = [cells[at::width] for at in self._written] if self._turned else []
        joined = (self._template * count) % tuple(_interleaved(columns) if self._turned else cells)
        if has_empty:
            # A clean cell has no quote, so this text can only be a member of the template with nothing in it.
            for null in self._nulls:
                joined = joined.replace(null, "")
        if self._attributes is not None:
            joined = _with_attributes(joined, cells[self._attributes :: width])
        encoded.values += joined[:-1].encode().split(b"\n")
        keys = cells[self._id :: width]
        if self._key is not None:
            keys = [customer or other for customer, other in zip(cells[self._key :: width], keys, strict=True)]
        encoded.keys += "\n".join(keys).encode().split(b"\n")
        return count

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

    def _pattern(self, separator: str, quotechar: str) -> re.Pattern[str]:
        excluded = "".join(re.escape(character) for character in dict.fromkeys((separator, quotechar, '"', "\\")))
        text = f"[^{excluded}\x00-\x1f\ud800-\udfff]"
        cells = [self._cell(name, text, excluded) for name in self._columns]
        return re.compile(f"(?:{re.escape(separator).join(cells)}\n)*+")

    def _cell(self, name: str, text: str, excluded: str) -> str:
        rule = next(field.rule for field in FIELDS if field.name == name)
        if name == "occurred_at":
            return _CLEAN_INSTANT
        if name == "amount":
            return _CLEAN_AMOUNT
        if name == ATTRIBUTES:
            return "[^\x1f\n]*+" if self._trusted else ""
        if rule.pattern:
            return f"(?:{rule.pattern})?"
        if not rule.controls:
            text = f"[^{excluded}\x00-\x1f\x7f-\x9f\ud800-\udfff]"
        return f"{text}{{{rule.min_length},{rule.max_length}}}+"


def _with_attributes(joined: str, objects: list[str]) -> str:
    bodies = joined[:-1].split("\n")
    return "".join(
        f'{body[:-1]},"{ATTRIBUTES}":{written}}}\n' if written else f"{body}\n"
        for body, written in zip(bodies, objects, strict=True)
    )


def _interleaved(columns: Sequence[Sequence[str]]) -> list[str]:
    """Returns the cells row by row."""
    cells = [""] * (len(columns) * len(columns[0]))
    for at, column in enumerate(columns):
        cells[at :: len(columns)] = column
    return cells


def _means_null(field_: Field, value: str) -> bool:
    """Tells whether an empty cell is null: it is unquoted, or the field knows no empty text (codes, objects)."""
    if field_.required:
        return False
    return value is not QUOTED_EMPTY or field_.rule.pattern is not None or field_.name == ATTRIBUTES


def _object(text: str) -> dict[str, Any]:
    try:
        return _OBJECT.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise RecordError("attributes_object", f"attributes are no JSON object: {error}", field="attributes") from error
