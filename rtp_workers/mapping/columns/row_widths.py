"""Decides which rows may have fewer or more cells than the file has columns: programs leave out empty cells at the end.

Spreadsheets do so after the first rows. A row in which a cell in the middle is missing, or was split by a delimiter in
a text, must still be refused. In such rows, dates and numbers do not stand where they stand in the other rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

from rtp_workers.mapping.cells import amounts, dates
from rtp_workers.mapping.columns.sample_rows import Row

COMMON = 0.1  # share of the rows that must have a width; a rarer one is rather a mistake
MANY = 0.3  # share of the rows
FEWEST = 2  # rows
LOOKED_AT_ROWS = 200
FEWEST_TO_COMPARE = 5  # cells: with fewer, how often each code occurs says little
MOST_MISSING = 2  # cells; with more, a line is rather the continuation of a text
USUALLY = 0.8  # share of dates in a column of dates
MOST_CODES = 12  # different texts in a column of codes
OTHERWISE = 0.5  # by so much may the share of dates, or of numbers, in a column differ


def widths_of(rows: Sequence[Row]) -> Counter[int]:
    """Counts the widths of rows with at least two cells."""
    return Counter(len(row.cells) for row in rows if not row.is_blank and len(row.cells) > 1)


def widest(rows: Sequence[Row], most: int) -> int:
    """Returns the width of the rows of a file whose header has more cells: the usual one, or a wider one that agrees.

    Args:
        rows: all rows below the header.
        most: how many cells the header has.
    """
    widths = widths_of(rows)
    usual = widths.most_common(1)[0][0] if widths else most
    wider = [
        width for width in widths if usual < width <= most and _is_common(widths, width) and _agree(rows, width, usual)
    ]
    return max(wider, default=usual)


def tolerated(rows: Sequence[Row], width: int, header: Sequence[str]) -> tuple[int, int]:
    """Returns the fewest and the most cells that a row may have.

    Args:
        rows: all rows below the header.
        width: how many columns the file has.
        header: the header's cells, ``()`` without a header.
    """
    widths = widths_of(rows)
    near = [less for less in widths if width - MOST_MISSING <= less < width and _is_common(widths, less)]
    nameless = len(list(takewhile(lambda cell: not cell.strip(), reversed(header))))
    fewer = [
        less
        for less in near
        if less >= width - nameless or _agree(rows, width, less, codes=not _lack_only_blanks(rows, width, less))
    ]
    more = [more for more in widths if more > width and _has_blank_ends(rows, width, more)]
    named = len(header) if not any(cell.strip() for cell in header[width:]) else 0
    allowed = [more_ for more_ in more if more_ <= named or _is_common(widths, more_)]
    return min(fewer, default=width), max(allowed, default=width)


def fits(cells: Sequence[str], width: int, widths: range) -> bool:
    """True for a row with a cell for each column, and for one that differs only by empty cells at its end.

    Args:
        cells: the row's.
        width: how many columns the file has.
        widths: how many cells a row may have, from `tolerated`.
    """
    count = len(cells)
    return count == width or (count > 1 and count in widths and not any(map(str.strip, cells[width:])))


def evened(cells: list[str], width: int) -> list[str]:
    """Returns the cells of a row with as many cells as there are columns."""
    return cells[:width] + [""] * (width - len(cells))


def _is_common(widths: Counter[int], width: int) -> bool:
    return widths[width] >= max(FEWEST, COMMON * widths.total())


def _has_blank_ends(rows: Sequence[Row], width: int, more: int) -> bool:
    return not any(cell.strip() for row in rows if len(row.cells) == more for cell in row.cells[width:])


def _lack_only_blanks(rows: Sequence[Row], width: int, less: int) -> bool:
    """True if many rows lack cells at their end that are empty in all others."""
    longer = [row for row in rows if len(row.cells) == width and not row.is_blank]
    shorter = sum(len(row.cells) == less for row in rows)
    blank = not any(any(map(str.strip, row.cells[less:])) for row in longer)
    return blank and shorter >= (len(longer) + shorter) * MANY


def _agree(rows: Sequence[Row], width: int, other: int, *, codes: bool = True) -> bool:
    """True if the rows of both widths have dates, numbers and (with ``codes``) codes in the same columns."""
    some = [row.cells for row in rows if len(row.cells) == width and not row.is_blank][:LOOKED_AT_ROWS]
    others = [row.cells for row in rows if len(row.cells) == other and not row.is_blank][:LOOKED_AT_ROWS]
    if not some or not others:
        return False
    if codes and not all(_shares_codes(some, others, at) for at in range(min(width, other))):
        return False
    pairs = [(_shares(some, at), _shares(others, at)) for at in range(min(width, other))]
    if any(one[0] >= USUALLY and other_one[0] < 0 for one, other_one in pairs):
        return False  # rows without a date are no transactions
    return all(
        abs(share - other_share) < OTHERWISE
        for one, other_one in pairs
        for share, other_share in zip(one, other_one, strict=True)
        if share >= 0 and other_share >= 0
    )


def _shares_codes(some: Sequence[Sequence[str]], others: Sequence[Sequence[str]], at: int) -> bool:
    """False if a column repeats a few texts in some rows, and most of the others have other texts there."""
    known, asked = ([row[at].strip() for row in rows if row[at].strip()] for rows in (some, others))
    if not any(any(map(str.isalpha, cell)) for cell in known):
        return True  # numbers are compared as numbers
    if not asked or len(set(known)) == len(known) or len(set(known)) > MOST_CODES:
        return True
    if len(asked) < FEWEST_TO_COMPARE:
        return sum(cell in set(known) for cell in asked) >= len(asked) * OTHERWISE
    counts, others_counts = Counter(known), Counter(asked)
    common = sum(min(counts[cell] / len(known), others_counts[cell] / len(asked)) for cell in others_counts)
    return common >= OTHERWISE


def _shares(rows: Sequence[Sequence[str]], at: int) -> tuple[float, float]:
    """Returns the shares of dates and of numbers among a column's filled cells; -1 if no cell is filled."""
    cells = [row[at].strip() for row in rows if row[at].strip()]
    if not cells:
        return -1.0, -1.0
    when = [dates.shape_of(cell) is not None for cell in cells]
    numbers = [amounts.take_apart(cell) is not None for cell in cells]
    return sum(when) / len(cells), sum(numbers) / len(cells)
