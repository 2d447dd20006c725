"""Which columns say when, and how their dates are to be read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from zoneinfo import available_timezones

from rtp_workers.mapping.cells import dates
from rtp_workers.mapping.cells.local_times import zone_name_at
from rtp_workers.mapping.cells.words import zone_names
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.findings import BY_VALUES, DAY_FIRST_LANGUAGES, MARGIN, Candidate, Findings
from rtp_workers.mapping.columns.profile import Profile
from rtp_workers.mapping.plan import ColumnUse
from rtp_workers.mapping.toml_text import quoted

CALENDAR = ("year", "month", "day")
SOME_ROWS = 5
STEP_LINES = (
    'step_origin = "2024-01-01T00:00:00Z"  # the moment of step 0: only you know it',
    'step_unit = "{unit}"  # second, minute, hour or day',
)
NO_TIME_LINES = (
    'constants.occurred_at = "2024-01-01T00:00:00Z"  # one moment for every row: put the right one',
    '# columns.occurred_at = "..."  # or the column that holds the time',
)


def find_time(found: Findings, more_cells: dict[str, list[str]]) -> None:
    """Decides the columns of ``occurred_at`` and the order of day and month.

    Args:
        more_cells: column name -> all cells of the sample and of what was read ahead, for the day order.
    """
    if _given(found):
        pass
    elif not (_by_name(found) or _calendar(found) or _step(found) or _by_values(found) or _counter(found)):
        found.ask("occurred_at", _why_no_time(found), *NO_TIME_LINES)
    if any(role in found.uses for role in ("occurred_at", "date")):
        _decide_order(found, more_cells)
    _find_zone(found)


def _why_no_time(found: Findings) -> str:
    for profile in found.free():
        if vocabulary.score(profile.name, "occurred_at").score >= 0.8 and profile.share(_has_no_year) >= 0.9:
            return f"the dates of {profile.name} have no year (e.g. {profile.cells[0]!r}), and no other column has one"
    return "no column holds a date or a time"


def _has_no_year(cell: str) -> bool:
    return dates.shape_of(cell) is None and any(dates.is_date(f"{cell}{mark}2024") for mark in "/.- ")


def _given(found: Findings) -> bool:
    if "occurred_at" in found.section.constants:
        return True
    roles = [role for role in ("occurred_at", "date", "time", "step", *CALENDAR) if found.take_given(role)]
    if "step" in roles:
        _ask_origin(found, found.profile(found.uses["step"].columns[0]))
    if "date" in roles and "time" not in roles:
        _add_clock(found, found.profile(found.uses["date"].columns[0]))
    if "occurred_at" in roles:
        profile = found.profile(found.uses["occurred_at"].columns[0])
        if len(found.uses["occurred_at"].columns) == 1 and found.section.date_format is None:
            _note_epoch(found, profile)
            if not profile.has_clock and not profile.epoch:
                _add_clock(found, profile)
    return bool(roles) and roles != ["time"]


def _fit(profile: Profile) -> float:
    epoch = profile.epoch is not None
    if profile.dates < 0.5 and not epoch:
        return 0.0
    fits = 1.0 if profile.dates >= 0.9 or epoch else 0.8
    return fits * (1.0 if profile.filled >= 0.5 else 0.7)


def _by_name(found: Findings) -> bool:
    candidates = _without_constants(found.candidates("occurred_at", _fit))
    if not candidates:
        return False
    best = candidates[0]
    rivals = [other for other in candidates[1:] if best.score - other.score < MARGIN and _differ(best, other)]
    if rivals:
        rivals = [other for other in rivals if other.profile.has_clock or not best.profile.has_clock]
        clocked = [other for other in (best, *rivals) if other.profile.has_clock]
        in_utc = [
            other for other in (best, *rivals) if "UTC" in other.profile.name and not _zone_in(other.profile.name)
        ]
        if len(clocked) == 1 or len(in_utc) == 1:
            best, rivals = (clocked if len(clocked) == 1 else in_utc)[0], []
    if rivals:
        names = [candidate.profile.name for candidate in (best, *rivals)]
        lines = [
            f"columns.occurred_at = {quoted([names[0]])}",
            *(f"# columns.occurred_at = {quoted([n])}" for n in names[1:]),
        ]
        found.ask("occurred_at", f"several columns may say when it happened: {', '.join(names)}", *lines)
    _take_date(found, best.profile, best.score, best.why)
    return True


def _without_constants(candidates: list[Candidate]) -> list[Candidate]:
    """Leaves out columns that say the same moment in every row, the export's own maybe, where another one varies."""
    varying = [one for one in candidates if len(one.profile.distinct) > 1 or one.profile.rows < SOME_ROWS]
    return varying or candidates


def _differ(one: Candidate, other: Candidate) -> bool:
    return list(one.profile.cells) != list(other.profile.cells)


def _take_date(found: Findings, profile: Profile, confidence: float, why: str) -> None:
    found.take("occurred_at", [profile], confidence, why)
    if profile.epoch and profile.dates < 0.9:
        _note_epoch(found, profile)
    elif not profile.has_clock:
        _add_clock(found, profile)


def _note_epoch(found: Findings, profile: Profile) -> None:
    if profile.epoch and profile.dates < 0.9 and found.section.epoch_unit is None:
        found.rules["epoch_unit"] = profile.epoch
        found.notes.append(f"{profile.name} counts {profile.epoch} since 1970-01-01 UTC")


def _add_clock(found: Findings, date_column: Profile) -> None:
    """Joins a column that holds only the time of day, where there is one."""
    clocks = found.candidates("time", lambda profile: 1.0 if profile.clocks >= 0.9 and profile.dates < 0.5 else 0.0)
    if not clocks:
        clocks = _nameless_clock(found)
    if clocks and "time" not in found.section.columns:
        clock = clocks[0]
        found.uses.pop("occurred_at", None)
        before = found.uses.pop("date", None) or ColumnUse("date", (date_column.name,), clock.score, clock.why)
        found.take("date", [found.profile(before.columns[0])], before.confidence, "name and values")
        found.take("time", [clock.profile], clock.score, clock.why)


def _nameless_clock(found: Findings) -> list[Candidate]:
    """Returns the one column of clock times of a file without names."""
    if any(not profile.name.startswith("column ") for profile in found.profiles):
        return []
    clocks = [profile for profile in found.free() if profile.clocks >= 0.9 and profile.numbers < 0.5]
    name = vocabulary.NameScore(BY_VALUES, False, "values", frozenset())
    return [Candidate(clocks[0], BY_VALUES, name)] if len(clocks) == 1 else []


def _calendar(found: Findings) -> bool:
    ranges = {"year": (1900, 2100), "month": (1, 12), "day": (1, 31)}
    chosen: dict[str, Candidate] = {}
    for role, (low, high) in ranges.items():
        fits = found.candidates(role, lambda profile, low=low, high=high: _whole_between(profile, low, high))  # type: ignore[misc]  # mypy cannot type lambda defaults
        if not fits:
            return False
        chosen[role] = fits[0]
    for role, candidate in chosen.items():
        found.take(role, [candidate.profile], candidate.score, candidate.why)
    clocks = found.candidates("time", lambda profile: float(profile.clocks >= 0.9))
    if clocks:
        found.take("time", [clocks[0].profile], clocks[0].score, clocks[0].why)
    return True


def _whole_between(profile: Profile, low: int, high: int) -> float:
    return float(profile.share(lambda cell: cell.isdigit() and low <= int(cell) <= high) >= 0.95)


def _step(found: Findings) -> bool:
    return _take_step(found, found.candidates("step", lambda profile: float(profile.whole_numbers >= 0.95)))


def _counter(found: Findings) -> bool:
    """A column called time that holds plain numbers counts from somewhere; dates elsewhere say more."""
    numbers = found.candidates("time", lambda profile: float(profile.numbers >= 0.95 and profile.clocks < 0.9))
    return _take_step(found, numbers)


def _take_step(found: Findings, counters: list[Candidate]) -> bool:
    if not counters:
        return False
    profile = counters[0].profile
    found.take("step", [profile], counters[0].score, counters[0].why)
    _ask_origin(found, profile)
    return True


def _ask_origin(found: Findings, profile: Profile) -> None:
    largest = max((float(cell) for cell in profile.some if cell.replace(".", "", 1).isdigit()), default=0)
    unit = "second" if largest > 50_000 or profile.name.lower() in ("time", "transactiondt") else "hour"
    if found.section.step_origin is None:
        question = f"{profile.name} counts steps from a moment that the file does not name"
        found.ask("occurred_at", question, *(line.format(unit=unit) for line in STEP_LINES))
    if found.section.step_unit is None:
        found.rules["step_unit"] = unit


def _by_values(found: Findings) -> bool:
    """Without a telling name: the only column of dates, or a question."""
    free = [profile for profile in found.free() if profile.dates >= 0.9 and profile.filled > 0.5]
    named = [profile for profile in free if vocabulary.best_role(profile.name)[0] in vocabulary.DECOYS]
    # Six or eight digits alone may be any number: they need a name or a separator.
    dated = [profile for profile in free if profile not in named and not _only_digits(profile)]
    if not dated:
        return False
    if len(dated) == 1 or all(list(other.cells) == list(dated[0].cells) for other in dated):
        _take_date(found, dated[0], BY_VALUES, "values (the only dates)")
        return True
    names = [profile.name for profile in dated]
    lines = [
        f"columns.occurred_at = {quoted([names[0]])}",
        *(f"# columns.occurred_at = {quoted([n])}" for n in names[1:]),
    ]
    found.ask("occurred_at", f"several columns hold dates and none says which: {', '.join(names)}", *lines)
    _take_date(found, dated[0], 0.4, "values")
    return True


def _only_digits(profile: Profile) -> bool:
    if profile.share(str.isdigit) <= 0.5:
        return False
    return profile.share(lambda cell: len(cell) == 8 and "1990" <= cell[:4] <= "2040") < 1.0 or profile.dates < 1.0


def _decide_order(found: Findings, more_cells: dict[str, list[str]]) -> None:
    section = found.section
    if section.date_format is not None:
        return
    if section.day_first is not None:
        found.rules["date_order"] = "DMY" if section.day_first else "MDY"
    columns = [name for role in ("occurred_at", "date") if role in found.uses for name in found.uses[role].columns[:1]]
    cells = list(chain.from_iterable(more_cells.get(name, found.profile(name).cells) for name in columns))
    shapes = [shape for cell in dict.fromkeys(cells) if (shape := dates.shape_of(cell)) is not None]
    numeric = [shape for shape in shapes if shape.kind in ("numeric", "short", "compact") and shape.readings()]
    if not numeric or found.rules.get("epoch_unit"):
        return
    if section.day_first is not None and numeric[0].kind != "compact":
        return
    orders = possible_orders(numeric)
    if len(orders) != 1:
        orders = _narrowed(found, orders, numeric, more_cells)
    if len(orders) == 1:
        found.rules["date_order"] = orders[0]
        return
    example = next((cell for cell in cells if dates.shape_of(cell)), "")
    found.ask(
        "occurred_at",
        f"{example!r} in {columns[0]} may be day first or month first, and no row of the sample decides",
        "day_first = true  # 31/12; write false for 12/31",
        kind="day_order",
    )


def possible_orders(shapes: Iterable[dates.Shape]) -> list[dates.Order]:
    """Returns the orders that contradict no date; where each contradicts some, the one that 98 % of them fit."""
    counts: Counter[dates.Order] = Counter()
    total = 0
    two_digit = True
    for shape in shapes:
        readings = shape.readings()
        if readings:
            total += 1
            counts.update(readings)
            two_digit = two_digit and shape.kind != "short"
    if not total:
        return []
    day_orders: list[dates.Order] = [order for order in ("DMY", "MDY") if counts[order] == total]
    if counts["YMD"] == total and (not day_orders or not two_digit):
        return ["YMD"]
    if day_orders:
        return day_orders
    (best, most), *rest = counts.most_common()
    second = rest[0][1] if rest else 0
    return [best] if most >= total * 0.98 and second <= most * 0.9 else []


def _narrowed(
    found: Findings, orders: list[dates.Order], shapes: list[dates.Shape], more_cells: dict[str, list[str]]
) -> list[dates.Order]:
    """Looks at what else decides: points between the numbers, the file's other dates, the header's language."""
    if not orders:
        return orders
    if all(shape.separator == "." for shape in shapes):
        return ["DMY"]
    for profile in found.profiles:
        if profile.dates >= 0.9 and profile.index not in found.taken:
            cells = more_cells.get(profile.name, list(profile.cells))
            others = [s for cell in dict.fromkeys(cells) if (s := dates.shape_of(cell)) and s.kind == "numeric"]
            same = others and others[0].separator == shapes[0].separator
            decided = possible_orders(others) if same else []
            if len(decided) == 1 and decided[0] in orders:
                found.notes.append(f"day and month as in {profile.name}, where the sample decides")
                return decided
    if found.languages & DAY_FIRST_LANGUAGES:
        found.notes.append("day first, as the header's language has it; day_first = false says otherwise")
        return ["DMY"]
    return orders


def _find_zone(found: Findings) -> None:
    if found.take_given("time_zone"):
        return
    zones = found.candidates("time_zone", lambda profile: float(profile.share(_is_zone) >= 0.9))
    if zones and ("time" in found.uses or "occurred_at" in found.uses):
        found.take("time_zone", [zones[0].profile], zones[0].score, zones[0].why)
    elif found.section.time_zone is None and (
        zones_named := {_zone_in(name) for name in _time_columns(found)} - {None}
    ):
        found.rules["time_zone"] = zones_named.pop()
        found.notes.append(f"times are read as {found.rules['time_zone']}, as the column's name says")
    else:
        _ask_zone(found)


def _time_columns(found: Findings) -> list[str]:
    return [name for role in ("occurred_at", "date", "time") if role in found.uses for name in found.uses[role].columns]


def _zone_in(name: str) -> str | None:
    """Returns the zone of the offset that a column's name carries: ``Time (UTC+8)`` -> ``Etc/GMT-8``."""
    offset = re.search(r"(?:UTC|GMT)\s?([+\-−])0?(\d{1,2})(?::?00)?(?![:\d])", name)
    if offset is None:
        return None
    zone = f"Etc/GMT{'-' if offset[1] == '+' else '+'}{offset[2]}"
    return zone if zone in available_timezones() else None


def _ask_zone(found: Findings) -> None:
    """Asks which zone an abbreviation means that several zones share, as IST does."""
    for cell in dict.fromkeys(cell for name in _time_columns(found) for cell in found.profile(name).some):
        zone, day = _written_zone(cell)
        if zone is None or dates.offset_minutes(zone) is not None:
            continue
        if found.section.time_zone is None or zone_name_at(found.section.time_zone, day) != zone:
            meant = next((name for name in sorted(available_timezones()) if zone_name_at(name, day) == zone), "UTC")
            question = f"{zone!r} in {cell!r} is no zone's name alone; which zone is meant"
            found.ask("occurred_at", question, f'time_zone = "{meant}"  # its IANA name')
        return


def _written_zone(cell: str) -> tuple[str | None, str]:
    """Returns the zone that a cell names, and its day."""
    moment = next((one for order in dates.ORDERS if (one := dates.parse(cell, order)) is not None), None)
    if moment is not None:
        return moment.zone, moment.day
    clock = dates.parse_clock(cell)
    return (clock[1] if clock is not None else None), "2024-01-01"


def _is_zone(cell: str) -> bool:
    return dates.offset_minutes(cell) is not None or "/" in cell or cell in zone_names()
