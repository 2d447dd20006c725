"""Reads one record that contains a quote. Its cells may extend over several physical lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_FIELD_LINES = 100
MAX_FIELD_CHARACTERS = 64 * 1024
_LINE_ENDS = ("", "\n", "\r\n", "\r")


class _QuotedEmpty(str):
    """The text of a cell written as ``""``. It equals an empty text, but can be told from a cell left out."""

    __slots__ = ()


QUOTED_EMPTY = _QuotedEmpty()


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was read.

    Attributes:
        end: index of the line after the record.
        cells: the cells without their quotes; an empty quoted cell is QUOTED_EMPTY.
        uncommon: True if a cell contains a newline or is QUOTED_EMPTY.
    """

    end: int
    cells: list[str]
    uncommon: bool


class UnfinishedRecordError(Exception):
    """The lines end inside a quoted field. A later line may close it."""

    def __init__(self, opening: int) -> None:
        super().__init__(opening)
        self.opening = opening


class MisquotedError(Exception):
    """A quoted field breaks the rules of quoting.

    Attributes:
        opening: index of the line on which the field opens. Reading resumes after that line.
    """

    def __init__(self, opening: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.opening = opening
        self.reason = reason
        self.detail = detail


class RecordReader:
    """Reads one record at a time from physical lines, in time proportional to the lines that it looks at."""

    def __init__(self, delimiter: str, quotechar: str) -> None:
        self._delimiter = delimiter
        self._quote = quotechar
        self._between = quotechar + delimiter + quotechar
        quote = re.escape(quotechar)
        self._closing = re.compile(f"[^{quote}]*+(?:{quote}{quote}[^{quote}]*+)*+{quote}")

    def read(self, lines: Sequence[str], start: int) -> Record:
        """Reads the record that starts with ``lines[start]``. Lines include their line ends.

        Raises:
            UnfinishedRecordError: the lines end inside a quoted field.
            MisquotedError: a quoted field is too long, or more text follows its closing quote.
        """
        if (cells := self._all_quoted(lines[start])) is not None:
            return Record(start + 1, cells, False)
        index, position, uncommon = start, 0, False
        cells = []
        while True:
            if not lines[index].startswith(self._quote, position):
                end = lines[index].find(self._delimiter, position)
                cells.append(lines[index][position:end] if end >= 0 else lines[index][position:].rstrip("\r\n"))
                position = end
            else:
                first = index
                index, position, written = self._quoted(lines, index, position + len(self._quote))
                cells.append(written.replace(self._quote * 2, self._quote) or QUOTED_EMPTY)
                uncommon = uncommon or index > first or not written
                position = self._after(lines[index], position, first)
            if position < 0:
                return Record(index + 1, cells, uncommon)
            position += len(self._delimiter)

    def _all_quoted(self, line: str) -> list[str] | None:
        """Returns the cells of a line if all are quoted, and none is empty or contains a quote; else None."""
        body = line.rstrip("\r\n")
        cells = body[1:-1].split(self._between)
        if not body.endswith(self._quote) or body.count(self._quote) != 2 * len(cells) or self._quote * 2 in body:
            return None
        return cells if body.startswith(self._quote) else None

    def _after(self, line: str, position: int, opening: int) -> int:
        # Padding between a closing quote and the delimiter is not part of a cell. Some exports pad with tabs.
        while line.startswith((" ", "\t"), position) and not line.startswith(self._delimiter, position):
            position += 1
        if line.startswith(self._delimiter, position):
            return position
        if line[position:] in _LINE_ENDS:
            return -1
        raise MisquotedError(opening, "quote_misplaced", "text follows a closing quote; double a quote inside a field")

    def _quoted(self, lines: Sequence[str], opening: int, position: int) -> tuple[int, int, str]:
        """Returns the line on which the field closes, the position after its closing quote, and the field's text."""
        parts: list[str] = []
        characters = 0
        for index in range(opening, len(lines)):
            if index - opening >= MAX_FIELD_LINES or characters > MAX_FIELD_CHARACTERS:
                break
            line, start = lines[index], position if index == opening else 0
            closing = self._closing.match(line, start)
            parts.append(line[start : closing.end() - 1] if closing else line[start:])
            characters += len(parts[-1])
            if closing and characters <= MAX_FIELD_CHARACTERS:
                return index, closing.end(), "".join(parts)
        else:
            if characters <= MAX_FIELD_CHARACTERS:
                raise UnfinishedRecordError(opening)
        raise MisquotedError(
            opening,
            "quote_unclosed",
            f"a quoted field is over {MAX_FIELD_LINES} lines or {MAX_FIELD_CHARACTERS // 1024} kB; is it closed?",
        )
