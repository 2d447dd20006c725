"""Rows of a foreign file -> records: the mapping converts them, then the encoder of canonical rows encodes them."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from rtp_workers.batch.row_encoder import Encoded, RowEncoder
from rtp_workers.batch.rows import Rows, refused_row
from rtp_workers.mapping.plan import FilePlan
from rtp_workers.mapping.rows.convert import Converted, Converter

if TYPE_CHECKING:
    from rtp_workers.mapping.rows.ids import OccurrenceCounter


class MappedRows:
    """Encodes the rows of one foreign file, in file order, starting with its first row.

    Args:
        plan: a plan without open questions, for a file with columns other than ours.
        folder: where counts of identical rows may be spilled while the file is read; None keeps them in memory.
    """

    def __init__(self, plan: FilePlan, folder: Path | None) -> None:
        self._counter = _counter(folder) if plan.derives_ids and folder is not None else None
        self._converter = Converter(plan, self._counter)
        self._encoder = RowEncoder(self._converter.columns, trusted_attributes=True)
        self._instant = itemgetter(self._converter.columns.index("occurred_at"))

    def encode(self, rows: Rows) -> Encoded:
        """Returns the records of these rows and the refused ones, except rows that were refused for their form."""
        converted = self._converter.convert(rows.cells)
        if not converted.refused and not rows.uncommon:
            return self._dated(self._encoder.encode_cells(converted.rows, rows.lines, rows.raws, set()), converted)
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
        return self._dated(encoded, converted)

    def _dated(self, encoded: Encoded, converted: Converted) -> Encoded:
        """Adds the first and last instant. All instants of a file have one form, so their texts sort by time."""
        if converted.rows:
            encoded.first_at = min(map(self._instant, converted.rows))
            encoded.last_at = max(map(self._instant, converted.rows))
        return encoded

    def count(self, rows: Rows) -> None:
        """Counts rows of an earlier run, so that the following rows get the same numbers as without interruption."""
        self._converter.count(rows.cells)

    def close(self) -> None:
        """Removes the spilled counts."""
        if self._counter is not None:
            self._counter.close()


def _counter(folder: Path) -> OccurrenceCounter:
    # Not imported at the top, as in `mapping.rows.convert`.
    from rtp_workers.mapping.rows.ids import OccurrenceCounter

    return OccurrenceCounter(folder)
