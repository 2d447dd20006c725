"""Chooses among columns of dates by their values, where their names do not help."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from rtp_workers.mapping.cells import dates
from rtp_workers.mapping.columns.profile import NEARLY_ALL, Profile

SOME_DAYS = timedelta(days=10)  # between the booking date and the value date, with holidays
A_DAY = timedelta(days=1)
NOT_YET = "1970-01-01"  # the moment zero, where something has not happened
LOOKED_AT_ROWS = 1_000


def settled_date(columns: Sequence[Profile]) -> tuple[Profile, str] | None:
    """Returns the column that says when, and why; None if nothing shows which of several it is."""
    first, *others = columns
    if all(list(other.cells) == list(first.cells) for other in others):
        return first, "values (the only dates)"
    if first.filled == 1.0 and happen_together(columns):
        return first, "values (the first of several moments that are less than a day apart)"
    nameless = all(one.name.startswith("column ") for one in columns)
    stamps = [one for one in columns if one.has_clock]
    if any(not _are_hours_apart(first, stamp) for stamp in stamps):
        return None
    if nameless and first.filled == 1.0 and all(_are_close(first, other) for other in others):
        return first, "values (the first of several dates that are a few days apart: rather the booking date)"
    return None


def happen_together(columns: Sequence[Profile]) -> bool:
    """True if the columns hold moments, those of each row less than a day apart: a ride's request, start and end."""
    if not all(one.has_clock for one in columns):
        return False
    first, *others = columns
    return all(_are_hours_apart(first, other) for other in others)


def _are_hours_apart(one: Profile, other: Profile) -> bool:
    rows = zip(one.column[:LOOKED_AT_ROWS], other.column, strict=False)
    pairs = [pair for pair in rows if all(pair) and not any(cell.startswith(NOT_YET) for cell in pair)]
    enough = len(pairs) * NEARLY_ALL
    return bool(pairs) and any(sum(_is_near(*pair, order, A_DAY) for pair in pairs) >= enough for order in dates.ORDERS)


def _are_close(one: Profile, other: Profile) -> bool:
    """True if the two dates of each row are a few days apart, in some order of day and month."""
    pairs = list(zip(one.column[:LOOKED_AT_ROWS], other.column, strict=False))
    return any(all(_is_near(*pair, order, SOME_DAYS) for pair in pairs if all(pair)) for order in dates.ORDERS)


def _is_near(one: str, other: str, order: dates.Order, most: timedelta) -> bool:
    read = [dates.parse(cell, order) for cell in (one, other)]
    first, second = (_local(moment) for moment in read)
    return first is not None and second is not None and abs(first - second) <= most


def _local(moment: dates.Moment | None) -> datetime | None:
    """Returns a moment as the cell writes it, whatever its zone is, to the second."""
    return None if moment is None else datetime.fromisoformat(f"{moment.day}T{(moment.clock or '00:00:00')[:8]}")
