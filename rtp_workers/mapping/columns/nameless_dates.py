"""Chooses among columns of dates whose names do not help."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from rtp_workers.mapping.cells import dates
from rtp_workers.mapping.columns.profile import Profile

MOST_DAYS_APART = 10  # between the booking date and the value date, with holidays
LOOKED_AT_ROWS = 1_000


def settled_date(columns: Sequence[Profile]) -> tuple[Profile, str] | None:
    """Returns the column that says when, and why; None if nothing shows which of several it is."""
    first, *others = columns
    if all(list(other.cells) == list(first.cells) for other in others):
        return first, "values (the only dates)"
    nameless = all(one.name.startswith("column ") and not one.has_clock for one in columns)
    if nameless and first.filled == 1.0 and all(_are_close(first, other) for other in others):
        return first, "values (the first of several dates that are a few days apart: rather the booking date)"
    return None


def _are_close(one: Profile, other: Profile) -> bool:
    """True if the two dates of each row are a few days apart, in some order of day and month."""
    pairs = list(zip(one.column[:LOOKED_AT_ROWS], other.column, strict=False))
    return any(all(_is_near(*pair, order) for pair in pairs if all(pair)) for order in dates.ORDERS)


def _is_near(one: str, other: str, order: dates.Order) -> bool:
    days = [dates.parse(cell, order) for cell in (one, other)]
    read = [date.fromisoformat(moment.day) for moment in days if moment is not None]
    return len(read) == 2 and abs((read[0] - read[1]).days) <= MOST_DAYS_APART
