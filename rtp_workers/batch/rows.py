"""Text -> rows of cells: quoting, line numbers, and the rows whose very form is wrong."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field

from rtp_workers.batch.quoted_record import MisquotedError, Record, RecordReader, UnfinishedRecordError

SHOWN_CHARACTERS = 2_000
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that is not loaded.

    Attributes:
        line: physical line of the file where the row starts, from 1.
        reason: short stable code.
        detail: one sentence.
        raw: the row as it stands in the file, cut to 2,000 characters.
    """

    line: int
    reason: str
    detail: str
    raw: str


@dataclass(slots=True)
class Rows:
    """The rows of one block, in file order.

    Attributes:
        cells: one list a row, all of the file's width.
        lines: physical line of each row.
        raws: the row as it stands in the file, without its last line end.
        uncommon: indexes of rows that have a newline, a quote or a quoted empty text in a cell.
        refused: rows that are no rows.
        rest: end of the text: a row that goes on in the next block.
        next_line: physical line of what follows.
    """

    cells: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    raws: list[str] = field(default_factory=list)
    uncommon: set[int] = field(default_factory=set)
    refused: list[RefusedRow] = field(default_factory=list)
    rest: str = ""
    next_line: int = 0


def refused_row(line: int, reason: str, detail: str, raw: str) -> RefusedRow:
    """Returns the refusal with `raw` cut to what is kept, and made printable."""
    return RefusedRow(line, reason, detail, raw[:SHOWN_CHARACTERS].encode("utf-8", "replace").decode())


def unquoted_lines(text: str) -> str:
    """Returns text without quotes as lines that all end with LF."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") or not text else text + "\n"


class RowParser:
    """Splits text into rows for one dialect.

    A quoted field may hold newlines. One that is over 100 lines or 64 kB, or reaches the end of the file, or has text
    after its closing quote, refuses its row up to the line that it opens on; reading goes on with the next line.
    """

    def __init__(self, delimiter: str, quotechar: str, width: int) -> None:
        self.delimiter = delimiter
        self.quotechar = quotechar
        self.width = width
        self._reader = RecordReader(delimiter, quotechar)

    def parse(self, text: str, first_line: int, *, at_end: bool) -> Rows:
        """Parses whole lines.

        Args:
            text: physical lines; the first starts a row. Lone surrogates stand for bytes that do not decode.
            first_line: its line number.
            at_end: nothing follows, so that a quoted field still open is never closed.
        """
        rows = Rows()
        lines = list(io.StringIO(text, newline=""))
        index = 0
        while index < len(lines):
            try:
                record = self._record(lines, index)
            except UnfinishedRecordError as error:
                if not at_end:
                    break
                index = self._refuse(rows, lines, index, _never_closed(error), first_line)
            except MisquotedError as error:
                index = self._refuse(rows, lines, index, error, first_line)
            else:
                self._add(rows, first_line + index, "".join(lines[index : record.end]).rstrip("\r\n"), record)
                index = record.end
        rows.rest = "".join(lines[index:])
        rows.next_line = first_line + index
        return rows

    def refusal(self, line: int, raw: str, cells: int) -> RefusedRow | None:
        """Returns why a row of so many cells is none of the file's, or None."""
        if not raw:
            return refused_row(line, "blank_line", "the line is blank", raw)
        if cells != self.width:
            return refused_row(line, "ragged_row", f"the row has {cells} cells, the header {self.width}", raw)
        if not raw.isascii() and _SURROGATE.search(raw):
            return refused_row(line, "undecodable", "the row holds bytes that are not of the file's encoding", raw)
        return None

    def _record(self, lines: list[str], index: int) -> Record:
        if self.quotechar in lines[index]:
            return self._reader.read(lines, index)
        return Record(index + 1, lines[index].rstrip("\r\n").split(self.delimiter), False)

    def _add(self, rows: Rows, line: int, raw: str, record: Record) -> None:
        refused = self.refusal(line, raw, len(record.cells))
        if refused is not None:
            rows.refused.append(refused)
            return
        if record.uncommon:
            rows.uncommon.add(len(rows.cells))
        rows.cells.append(record.cells)
        rows.lines.append(line)
        rows.raws.append(raw)

    def _refuse(self, rows: Rows, lines: list[str], index: int, error: MisquotedError, first_line: int) -> int:
        raw = "".join(lines[index : error.opening + 1]).rstrip("\r\n")
        rows.refused.append(refused_row(first_line + index, error.reason, error.detail, raw))
        return error.opening + 1


def _never_closed(error: UnfinishedRecordError) -> MisquotedError:
    return MisquotedError(error.opening, "quote_unclosed", "a quoted field reaches the end of the file")
