"""Decides which time zone the times of a file are in."""

from __future__ import annotations

import re
from zoneinfo import available_timezones

from rtp_workers.mapping.cells import dates
from rtp_workers.mapping.cells.local_times import zone_name_at
from rtp_workers.mapping.cells.words import column_zones, unsure_column_zones, zone_names
from rtp_workers.mapping.columns.findings import Findings
from rtp_workers.mapping.columns.profile import MOST


def find_zone(found: Findings) -> None:
    """Decides the zone of times without one. Asks about an abbreviation that several zones share."""
    if found.take_given("time_zone"):
        return
    zones = found.candidates("time_zone", lambda profile: float(profile.share(_is_zone) >= MOST))
    if zones and ("time" in found.uses or "occurred_at" in found.uses):
        found.take("time_zone", [zones[0].profile], zones[0].score, zones[0].why)
    elif found.section.time_zone is None and (zones_named := {zone_in(name) for name in _time_columns(found)} - {None}):
        found.rules["time_zone"] = zones_named.pop()
        found.notes.append(f"times are read as {found.rules['time_zone']}, as the column's name says")
    elif not _ask_unsure_zone(found):
        _ask_zone(found)


def _time_columns(found: Findings) -> list[str]:
    return [name for role in ("occurred_at", "date", "time") if role in found.uses for name in found.uses[role].columns]


def zone_in(name: str) -> str | None:
    """Returns the zone in a column's name: ``Time (UTC+8)`` -> ``Etc/GMT-8``, ``Time (CET)`` -> Paris."""
    offset = re.search(r"(?:UTC|GMT)\s?([+\-−])0?(\d{1,2})(?::?00)?(?![:\d])", name)
    if offset is None:
        return column_zones().get(_abbreviation_in(name))
    zone = f"Etc/GMT{'-' if offset[1] == '+' else '+'}{offset[2]}"
    return zone if zone in available_timezones() else None


def _ask_unsure_zone(found: Findings) -> bool:
    """Asks about names like ``Time (EST)``: New York's time, or five hours behind UTC all year."""
    if found.section.time_zone is not None:
        return False
    for name in _time_columns(found):
        zone = unsure_column_zones().get(_abbreviation_in(name))
        if zone is not None and any(_has_bare_clock(cell) for cell in found.profile(name).some):
            question = f"the time zone in the name of {name} may be the same all year, or change in summer"
            found.ask("occurred_at", question, f'time_zone = "{zone}"  # the IANA name of the right zone')
            return True
    return False


def _has_bare_clock(cell: str) -> bool:
    """True if a cell has a time of day but no zone."""
    shape = dates.shape_of(cell)
    clock = dates.parse_clock(shape.rest.strip(" ,;.T") if shape is not None else cell)
    return clock is not None and clock[1] is None


def _abbreviation_in(name: str) -> str:
    """Returns the capitals at the end of a name, with or without brackets: ``Date (ET)`` -> ``ET``. ``""`` if none."""
    found = re.search(r"[\[(]\s*([A-Z]{2,4})\s*[\])]\s*$|(?<=[a-z])[ _]([A-Z]{3,4})$", name)
    return (found[1] or found[2]) if found is not None else ""


def _ask_zone(found: Findings) -> None:
    """Asks which zone is meant by an abbreviation that several zones share, such as IST."""
    for cell in dict.fromkeys(cell for name in _time_columns(found) for cell in found.profile(name).some):
        zone, day = _written_zone(cell)
        if zone is None or dates.offset_minutes(zone) is not None:
            continue
        if found.section.time_zone is None or zone_name_at(found.section.time_zone, day) != zone:
            meant = next((name for name in sorted(available_timezones()) if zone_name_at(name, day) == zone), "UTC")
            question = f"{zone!r} in {cell!r} does not name one time zone; which one is meant"
            found.ask("occurred_at", question, f'time_zone = "{meant}"  # its IANA name')
        return


def _written_zone(cell: str) -> tuple[str | None, str]:
    """Returns the zone in a cell, and its day."""
    moment = next((one for order in dates.ORDERS if (one := dates.parse(cell, order)) is not None), None)
    if moment is not None:
        return moment.zone, moment.day
    clock = dates.parse_clock(cell)
    return (clock[1] if clock is not None else None), "2024-01-01"


def _is_zone(cell: str) -> bool:
    return dates.offset_minutes(cell) is not None or "/" in cell or cell in zone_names()
