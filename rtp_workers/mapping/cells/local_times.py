"""Local times -> offsets from UTC, by IANA names, abbreviations and written offsets."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rtp_workers.mapping.cells import dates
from rtp_workers.mapping.cells.words import zone_names


@lru_cache(maxsize=100_000)
def _local_offset(zone: str, day: str, minute: str, later: bool) -> str | None:
    moment = _local(zone, day, minute, later)
    if moment is None:
        return None
    offset = moment.utcoffset() or timedelta()
    # Local mean time of long ago has seconds; RFC 3339 has none.
    return _offset_text(round(offset.total_seconds() / 60))


def _offset_text(minutes: int) -> str:
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}" if minutes else "Z"


def offset_of(zone: str, day: str, clock: str, *, later: bool = False) -> str | None:
    """Returns the offset of a zone (IANA name, abbreviation or offset) at a local time, or None where unknown.

    A local time that occurs twice, when clocks go back, means the first of the two, or the second with ``later``.
    """
    zone = zone_names().get(zone, zone)
    minutes = dates.offset_minutes(zone)
    return _offset_text(minutes) if minutes is not None else _local_offset(zone, day, clock[:5], later)


def zone_name_at(zone: str, day: str, clock: str = "12:00:00") -> str | None:
    """Returns what the clocks of an IANA zone call it at a local time (``IST``), or None where the zone is unknown."""
    moment = _local(zone, day, clock[:5])
    return moment.tzname() if moment is not None else None


def _local(zone: str, day: str, minute: str, later: bool = False) -> datetime | None:
    try:
        return datetime.fromisoformat(f"{day}T{minute}").replace(tzinfo=ZoneInfo(zone), fold=int(later))
    except (ZoneInfoNotFoundError, ValueError, IsADirectoryError):
        return None


@lru_cache(maxsize=100_000)
def oddity(zone: str, day: str, clock: str) -> str | None:
    """Returns ``twice`` or ``never`` for a local time that the clocks of a zone show twice or not at all, else None."""
    first, second = (_local(zone_names().get(zone, zone), day, clock[:5], later) for later in (False, True))
    if first is None or second is None or first.utcoffset() == second.utcoffset():
        return None
    before, after = first.utcoffset() or timedelta(), second.utcoffset() or timedelta()
    return "twice" if before > after else "never"
