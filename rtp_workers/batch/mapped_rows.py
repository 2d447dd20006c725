"""Rows of a foreign file -> records: the mapping's conversion, then the canonical rows' encoder."""

from __future__ import annotations

import csv
import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtp_workers.batch.row_encoder import Encoded, RowEncoder
from rtp_workers.batch.rows import Rows, refused_row, unquoted_lines
from rtp_workers.mapping.convert import Converter
from rtp_workers.mapping.ids import OccurrenceCounter
from rtp_workers.mapping.plan import Dialect, FilePlan


class MappedRows:
    """Encodes the rows of one foreign file, in file order from its first row.

    Args:
        plan: decided, and not canonical.
        folder: where counts of identical rows may be spilled while the file is read; None keeps them in memory.
    """

    def __init__(self, plan: FilePlan, folder: Path | None) -> None:
        self._counter = OccurrenceCounter(folder) if folder is not None else OccurrenceCounter.in_memory()
        self._converter = Converter(plan, self._counter)
        self._encoder = RowEncoder(self._converter.columns, trusted_attributes=True)
        self._dialect = plan.dialect
        self._clean = _clean_lines(plan.dialect)

    def clean_rows(self, text: str, first_line: int) -> Rows | None:
        """Reads whole lines at once where one pattern proves them rows of the right width; None where it does not."""
        text = unquoted_lines(text)
        if self._clean.fullmatch(text) is None:
            return None
        raws = text[:-1].split("\n") if text else []
        if self._dialect.quotechar in text:
            cells = list(csv.reader(raws, delimiter=self._dialect.delimiter, quotechar=self._dialect.quotechar))
        else:
            cells = [raw.split(self._dialect.delimiter) for raw in raws]
        lines = list(range(first_line, first_line + len(raws)))
        return Rows(cells=cells, lines=lines, raws=raws, next_line=first_line + len(raws))

    def encode(self, rows: Rows) -> Encoded:
        """Returns the records of rows, and those that are none; rows refused by their form are not among them."""
        with _without_collector():
            return self._encode(rows)

    def _encode(self, rows: Rows) -> Encoded:
        converted = self._converter.convert(rows.cells)
        if not converted.refused and not rows.uncommon:
            return self._encoder.encode_cells(converted.rows, rows.lines, rows.raws, set())
        lines = [rows.lines[index] for index in converted.kept]
        raws = [rows.raws[index] for index in converted.kept]
        several_lines = {
            position
            for position, index in enumerate(converted.kept)
            if index in rows.uncommon and any("\n" in cell for cell in converted.rows[position])
        }
        encoded = self._encoder.encode_cells(converted.rows, lines, raws, several_lines)
        encoded.refused += [
            refused_row(rows.lines[row.index], row.reason, row.detail, rows.raws[row.index])
            for row in converted.refused
        ]
        return encoded

    def count(self, rows: Rows) -> None:
        """Counts rows of an earlier run, so that the next ones get the numbers that they would have had."""
        self._converter.count(rows.cells)

    def close(self) -> None:
        """Removes what was spilled."""
        self._counter.close()


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keeps the cycle collector from walking a chunk's cells again and again: they hold no cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _clean_lines(dialect: Dialect) -> re.Pattern[str]:
    """Returns what lines look like whose quotes enclose whole cells, without quotes or line ends in them."""
    quote, delimiter = re.escape(dialect.quotechar), re.escape(dialect.delimiter)
    cell = f"(?:{quote}[^{quote}\n]*+{quote}|[^{quote}{delimiter}\n]*+)"
    line = f"(?!\n){cell}(?:{delimiter}{cell}){{{dialect.row_width - 1}}}\n"
    return re.compile(f"(?:{line})*+")
