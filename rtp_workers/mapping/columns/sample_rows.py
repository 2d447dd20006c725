"""Splits the beginning of a file into rows of cells, tolerantly: only for looking at, never for loading."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from rtp_workers.mapping.cells import escapes

MAX_QUOTED_LINES = 100
MAX_CELL = 64_000


@dataclass(frozen=True, slots=True)
class Row:
    """A row and the physical line (1-based) that it starts on."""

    line: int
    cells: list[str]

    @property
    def is_blank(self) -> bool:
        """True if no cell has anything but blanks."""
        return not any(cell.strip() for cell in self.cells)


def physical_lines(text: str) -> list[str]:
    """Returns the lines, including their line ends (CR, LF or CRLF)."""
    return list(io.StringIO(text, newline=""))


def rows_of(lines: list[str], delimiter: str, quotechar: str = '"', limit: int | None = None) -> list[Row]:
    """Returns at most ``limit`` rows. A quote that is never closed affects one line, not the rest of the file."""
    return list(islice(_rows(lines, delimiter, quotechar), limit))


def escaped_rows_of(text: str, delimiter: str, quotechar: str, limit: int | None = None) -> list[Row]:
    """Returns at most ``limit`` rows of a text in which backslashes escape."""
    rows = rows_of(physical_lines(escapes.hidden(text)), delimiter, quotechar, limit)
    return [Row(row.line, list(map(escapes.shown, row.cells))) for row in rows]


def _rows(lines: list[str], delimiter: str, quotechar: str) -> Iterator[Row]:
    start = 0
    while start < len(lines):
        reader = csv.reader(islice(lines, start, None), delimiter=delimiter, quotechar=quotechar)
        before = 0
        restart = None
        while restart is None:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                restart = start + before + 1
                break
            taken = reader.line_num - before
            if taken > MAX_QUOTED_LINES or (taken > 1 and start + reader.line_num >= len(lines) and _is_open(cells)):
                restart = start + before + 1
                break
            yield Row(start + before + 1, cells)
            before = reader.line_num
        start = restart


def _is_open(cells: list[str]) -> bool:
    """True if the last cell extends over several lines to the end of the text: its quote was never closed."""
    return bool(cells) and cells[-1].count("\n") + cells[-1].count("\r") > 1
