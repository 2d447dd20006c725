"""Finds out whether a file holds several tables, of which only one can be loaded at a time."""

from __future__ import annotations

from collections.abc import Sequence

from rtp_workers.mapping.cells import amounts, dates
from rtp_workers.mapping.cells.names import compact
from rtp_workers.mapping.columns.sample_rows import Row
from rtp_workers.mapping.columns.vocabulary import best_role, is_known

LOOKED_AT_ROWS = 2_000
FEWEST_NAMES = 3
FEWEST_ROWS = 2
FEWEST_CELLS = 4  # in a row above the header: fewer are a balance, or what the report is about
NEAR_ROWS = 5  # the first transactions are among so many rows below the header


def other_headers(rows: Sequence[Row], chosen: Row) -> list[Row]:
    """Returns the headers of other tables of transactions in the file, before or after the chosen header.

    Args:
        rows: all rows of the sample.
        chosen: the header that was found. Where it comes again, the same table goes on.
    """
    filled = [row for row in rows[:LOOKED_AT_ROWS] if not row.is_blank]
    if _is_head_of_a_section(chosen):
        heads = {row.cells[0]: row for row in filled if _is_head_of_a_section(row)}
        return [row for name, row in heads.items() if name != chosen.cells[0]]
    starts = [at for at, row in enumerate(filled) if row is chosen or _is_header(_names(row))]
    # A second line of names right below the header has no transactions above it: both belong to one table.
    tables = [filled[start:end] for start, end in zip(starts, [*starts[1:], len(filled)], strict=True)]
    filled_ones = [table[0] for table in tables if _has_transactions(table[1 : NEAR_ROWS + 1])]
    return [row for row in filled_ones if _compact(row) != _compact(chosen)] if chosen in filled_ones else []


def rows_above(rows: Sequence[Row], header: Row) -> list[Row]:
    """Returns the rows above the header that look like transactions: a page of a report has a table of its own."""
    named = len(_names(header))
    above = [row for row in rows[:LOOKED_AT_ROWS] if row.line < header.line and len(_names(row)) * 2 > named]
    found = [row for row in above if len(_names(row)) >= FEWEST_CELLS and _is_transaction(row)]
    return found if len(found) >= FEWEST_ROWS else []


def _is_head_of_a_section(row: Row) -> bool:
    """True for ``Trades,Header,Date/Time,...``: a broker's statement of many tables, each row with its table's name."""
    return len(row.cells) > FEWEST_NAMES and row.cells[1].strip() == "Header"


def _names(row: Row) -> list[str]:
    return [text for cell in row.cells if (text := cell.strip())]


def _compact(row: Row) -> list[str]:
    """Returns the names without blanks and punctuation, in which pages of one export may differ."""
    return list(map(compact, _names(row)))


def _is_header(names: Sequence[str]) -> bool:
    """True for names of a time, an amount and something else, none of which has a digit."""
    if len(names) < FEWEST_NAMES or any(char.isdigit() for name in names for char in name):
        return False
    known = [name for name in names if is_known(name)]
    roles = {best_role(name)[0] for name in known}
    return len(known) >= FEWEST_NAMES and "occurred_at" in roles and bool(roles & {"amount", "debit", "credit"})


def _has_transactions(below: Sequence[Row]) -> bool:
    return sum(map(_is_transaction, below)) >= FEWEST_ROWS


def _is_transaction(row: Row) -> bool:
    cells = _names(row)
    dated = [cell for cell in cells if dates.shape_of(cell) is not None]
    return bool(dated) and any(amounts.take_apart(cell) is not None for cell in cells if cell not in dated)
