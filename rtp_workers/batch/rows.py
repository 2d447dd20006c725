"""Text -> rows of cells: quoting, line numbers, and the rows whose form is wrong."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, compress, repeat
from operator import contains

from rtp_workers.batch.quoted_record import (
    MAX_FIELD_CHARACTERS,
    MisquotedError,
    Record,
    RecordReader,
    UnfinishedRecordError,
)
from rtp_workers.mapping.cells import escapes
from rtp_workers.mapping.columns.row_widths import evened, fits

SHOWN_CHARACTERS = 2_000
# How many lines are tried as plain rows together. Few, because one odd line sends all of them down the slow path.
RUN_LINES = 64
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that is not loaded.

    Attributes:
        line: physical line of the file on which the row starts, counted from 1.
        reason: a short, stable code.
        detail: one sentence.
        raw: the row as the file writes it, cut to 2,000 characters.
    """

    line: int
    reason: str
    detail: str
    raw: str


@dataclass(slots=True)
class Rows:
    """The rows of one block, in file order.

    Attributes:
        cells: one list per row, with one cell for each column of the file.
        lines: the physical line of each row.
        raws: each row as the file writes it, with or without its last line end.
        uncommon: indexes of rows that have a newline or a quoted empty text in a cell.
        refused: lines that are not rows of the file.
        rest: the end of the text, where a row begins that continues in the next block.
        next_line: the physical line of what follows.
    """

    cells: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    raws: list[str] = field(default_factory=list)
    uncommon: set[int] = field(default_factory=set)
    refused: list[RefusedRow] = field(default_factory=list)
    rest: str = ""
    next_line: int = 0


def refused_row(line: int, reason: str, detail: str, raw: str) -> RefusedRow:
    """Returns the refusal. `raw` is cut to `SHOWN_CHARACTERS`, loses its last line end, and is made printable."""
    shown = raw.rstrip("\r\n")[:SHOWN_CHARACTERS]
    return RefusedRow(line, reason, detail, shown.encode("utf-8", "replace").decode())


def physical_lines(text: str) -> list[str]:
    """Returns the lines, including their line ends (LF, CRLF or CR)."""
    if "\r" in text:
        return list(io.StringIO(text, newline=""))
    lines = [line + "\n" for line in text.split("\n")]
    last = lines.pop()
    return [*lines, last[:-1]] if last != "\n" else lines


def unquoted_lines(text: str) -> str:
    """Returns a text that contains no quotes, with every line ending in LF."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") or not text else text + "\n"


class RowParser:
    """Splits text into rows for one dialect.

    A quoted field may contain newlines. If it is over 100 lines or 64 kB, is never closed, or has text after its
    closing quote, its row is refused up to the line on which the field opens. Reading resumes with the next line.

    Lines that are all rows of the right width go through the csv module together. The others are read one by one.

    Args:
        delimiter: one character.
        quotechar: one character.
        width: how many cells a row has.
        tells_quoted_empty: True if ``""`` becomes QUOTED_EMPTY instead of an empty text.
        has_escapes: True if a backslash escapes the character after it.
        tolerated: other numbers of cells that a row may have, if cells are only missing or empty at its end.
    """

    def __init__(
        self,
        delimiter: str,
        quotechar: str,
        width: int,
        *,
        tells_quoted_empty: bool = True,
        has_escapes: bool = False,
        tolerated: range = range(0),
    ) -> None:
        self._tolerated = tolerated
        self._has_escapes = has_escapes
        self.delimiter = delimiter
        self.quotechar = quotechar
        self.width = width
        self._tells_quoted_empty = tells_quoted_empty
        self._reader = RecordReader(delimiter, quotechar)
        quote, end = re.escape(quotechar), re.escape(delimiter)
        self._quoted_empty = re.compile(f"(?:^|{end}){quote}{quote}(?:{end}|\\r?$)")

    def parse(self, text: str, first_line: int, *, at_end: bool) -> Rows:
        """Parses whole lines.

        Args:
            text: physical lines; the first one starts a row. Lone surrogates stand for bytes that do not decode.
            first_line: the line number of the first line.
            at_end: True if nothing follows: a quoted field that is still open is then never closed.
        """
        if self._has_escapes and "\\" in text:
            return self._parse_escaped(text, first_line, at_end=at_end)
        return self._parse(text, first_line, at_end=at_end)

    def _parse_escaped(self, text: str, first_line: int, *, at_end: bool) -> Rows:
        """Parses lines while their escapes are hidden, and then puts what they mean into the cells."""
        concealed = escapes.hidden(text)
        # After an escaped newline at the end, the row continues in the next block.
        end = len(concealed) if at_end or concealed.endswith(("\n", "\r")) else concealed.rfind("\n") + 1
        rows = self._parse(concealed[:end], first_line, at_end=at_end)
        rows.rest = escapes.original(rows.rest + concealed[end:])
        rows.next_line = first_line + len(physical_lines(text[: len(text) - len(rows.rest)]))
        if escapes.HIDDEN_NEWLINE in concealed:
            _count_hidden_lines(rows, physical_lines(concealed), first_line)
        for at, cells in enumerate(rows.cells):
            shown = list(map(escapes.shown, cells))
            if shown != cells:
                rows.uncommon.add(at)
                rows.cells[at] = [old if old == new else new for old, new in zip(cells, shown, strict=True)]
        rows.raws = list(map(escapes.original, rows.raws))
        rows.refused = [replace(row, raw=escapes.original(row.raw)) for row in rows.refused]
        return rows

    def _parse(self, text: str, first_line: int, *, at_end: bool) -> Rows:
        rows = Rows()
        lines = physical_lines(text)
        index, odd_until = 0, len(lines) if _has_surrogate(text) else 0
        while index < len(lines):
            if index >= odd_until:
                run = lines[index : index + RUN_LINES]
                if self._add_run(rows, run, first_line + index):
                    index += len(run)
                    continue
                odd_until = index + len(run)
            following = self._add_one(rows, lines, index, first_line, at_end=at_end)
            if following == index:
                break
            index = following
        rows.rest = "".join(lines[index:])
        rows.next_line = first_line + index
        return rows

    def refusal(self, line: int, raw: str, cells: int) -> RefusedRow | None:
        """Returns why a row with this number of cells is refused, or None."""
        if not raw:
            return refused_row(line, "blank_line", "the line is blank", raw)
        if cells != self.width:
            return refused_row(line, "ragged_row", f"the row has {cells} cells, but the header has {self.width}", raw)
        if not raw.isascii() and _SURROGATE.search(raw):
            return refused_row(line, "undecodable", "the row has bytes that do not belong to the file's encoding", raw)
        return None

    def _add_run(self, rows: Rows, lines: Sequence[str], first_line: int) -> bool:
        """Adds the lines if all of them are plain rows. Otherwise adds none and returns False."""
        try:
            cells = list(csv.reader(lines, delimiter=self.delimiter, quotechar=self.quotechar, strict=True))
        except csv.Error:
            return False
        # There are as many rows as lines, so no row extends over two. No row is blank: it would have no cell.
        is_even = {*map(len, cells)} == {self.width}
        if len(cells) != len(lines) or not (is_even or all(map(self._has_width, cells))):
            return False
        if max(map(len, lines)) > MAX_FIELD_CHARACTERS:
            return False
        if self._tells_quoted_empty:
            with_empty = map(contains, cells, repeat(""))
            if any(map(self._quoted_empty.search, compress(lines, with_empty))):
                return False
        rows.cells += cells if is_even else map(self._evened, cells)
        rows.lines += range(first_line, first_line + len(lines))
        rows.raws += lines
        return True

    def _add_one(self, rows: Rows, lines: Sequence[str], index: int, first_line: int, *, at_end: bool) -> int:
        """Adds or refuses the record at `index`. Returns where the next one starts; `index` if it has no end yet."""
        try:
            record = self._record(lines, index)
        except UnfinishedRecordError as error:
            return self._refuse(rows, lines, index, _never_closed(error), first_line) if at_end else index
        except MisquotedError as error:
            return self._refuse(rows, lines, index, error, first_line)
        self._add(rows, first_line + index, "".join(lines[index : record.end]).rstrip("\r\n"), record)
        return record.end

    def _record(self, lines: Sequence[str], index: int) -> Record:
        if self.quotechar in lines[index]:
            return self._reader.read(lines, index)
        return Record(index + 1, lines[index].rstrip("\r\n").split(self.delimiter), False)

    def _add(self, rows: Rows, line: int, raw: str, record: Record) -> None:
        width = self.width if raw and self._has_width(record.cells) else len(record.cells)
        refused = self.refusal(line, raw, width)
        if refused is not None:
            rows.refused.append(refused)
            return
        if record.uncommon:
            rows.uncommon.add(len(rows.cells))
        rows.cells.append(self._evened(record.cells))
        rows.lines.append(line)
        rows.raws.append(raw)

    def _has_width(self, cells: Sequence[str]) -> bool:
        return fits(cells, self.width, self._tolerated)

    def _evened(self, cells: list[str]) -> list[str]:
        return cells if len(cells) == self.width else evened(cells, self.width)

    def _refuse(self, rows: Rows, lines: Sequence[str], index: int, error: MisquotedError, first_line: int) -> int:
        raw = "".join(lines[index : error.opening + 1]).rstrip("\r\n")
        rows.refused.append(refused_row(first_line + index, error.reason, error.detail, raw))
        return error.opening + 1


def _count_hidden_lines(rows: Rows, lines: Sequence[str], first_line: int) -> None:
    """Corrects line numbers, because an escaped newline also ends a line of the file."""
    before = list(accumulate((line.count(escapes.HIDDEN_NEWLINE) for line in lines), initial=0))
    rows.lines = [line + before[line - first_line] for line in rows.lines]
    rows.refused = [replace(row, line=row.line + before[row.line - first_line]) for row in rows.refused]


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _never_closed(error: UnfinishedRecordError) -> MisquotedError:
    return MisquotedError(error.opening, "quote_unclosed", "a quoted field reaches the end of the file")
