"""Dates without a year: ``2102``, ``'06/07``, ``01 Mrt``. Only the mapping can give their year."""

from __future__ import annotations

import re
from functools import lru_cache

from rtp_workers.mapping.cells import dates
from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import months

LEAP_YEAR = 2024  # contains every day that a date without a year can name
_SEPARATED = re.compile(r"(?P<a>\d{1,2})\s?(?P<mark>[-/.])\s?(?P<b>\d{1,2})\.?(?![\d/.\-])(?P<rest>.*)")
_DIGITS = re.compile(r"(?P<a>\d{1,2})(?P<b>\d{2})")
_DAY_NAME = re.compile(
    r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?[-/ ]*(?:de |of )?(?P<name>[^\W\d_]{3,12})\.?(?![\w/-])(?P<rest>.*)"
)
_NAME_DAY = re.compile(r"(?P<name>[^\W\d_]{3,12})\.?[-/ ]*(?P<day>\d{1,2})(?:st|nd|rd|th)?(?![\w/-])(?P<rest>.*)")


@lru_cache(maxsize=20_000)
def _parts(cell: str) -> tuple[str, str, bool, str] | None:
    """Returns (first number, second number, True if these are surely month and day, what follows), or None."""
    text = cell.strip().strip("\"'").strip()
    for pattern in (_DAY_NAME, _NAME_DAY):
        found = pattern.fullmatch(text)
        month = months().get(normalise(found["name"])) if found else None
        if found is not None and month is not None:
            return str(month), found["day"], True, found["rest"]
    found = _SEPARATED.fullmatch(text)
    if found is not None:
        return found["a"], found["b"], False, found["rest"]
    found = _DIGITS.fullmatch(text)
    return (found["a"], found["b"], False, "") if found is not None else None


def complete(cell: str, order: dates.Order, year: int | None, start: tuple[int, int] | None) -> str | None:
    """Returns the cell as an ISO date with its time of day; None if it is not a date without a year.

    Args:
        order: ``DMY`` if the day comes first.
        year: the year of every date.
        start: (month, year) in which the file begins; earlier months belong to the next year.
    """
    parts = _parts(cell)
    if parts is None:
        return None
    first, second, is_named, rest = parts
    month, day = (first, second) if is_named or order != "DMY" else (second, first)
    if start is not None:
        year = start[1] + (int(month) < start[0])
    return f"{year:04}-{int(month):02}-{int(day):02}{rest}" if year is not None else None


def is_yearless(cell: str) -> bool:
    """True for a date that is complete except for its year."""
    if dates.shape_of(cell) is not None:
        return False
    return any(_fits(cell, order) for order in ("DMY", "MDY"))


def names_month(cell: str) -> bool:
    """True for a date without a year whose month is a word."""
    parts = _parts(cell)
    return parts is not None and parts[2] and is_yearless(cell)


def _fits(cell: str, order: dates.Order) -> bool:
    text = complete(cell, order, LEAP_YEAR, None)
    return text is not None and dates.parse(text, "YMD") is not None


def numeric_shape(cell: str) -> dates.Shape | None:
    """Returns the cell's numbers with a year added, to find the orders of day and month in which it is a date."""
    parts = _parts(cell)
    if parts is None or parts[2]:
        return None
    return dates.Shape("numeric", (parts[0], parts[1], str(LEAP_YEAR)), "/", "")
