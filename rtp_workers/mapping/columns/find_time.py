"""Decides which columns say when, and how their dates are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from rtp_workers.mapping.cells import dates, yearless
from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.close_dates import happen_together, settled_date
from rtp_workers.mapping.columns.find_clock import add_clock, decide_clock_digits
from rtp_workers.mapping.columns.find_volatile import is_stamp_name
from rtp_workers.mapping.columns.find_yearless import ask_for_year, find_named_months, find_yearless
from rtp_workers.mapping.columns.find_zone import find_zone, zone_in
from rtp_workers.mapping.columns.findings import (
    BY_VALUES,
    DAY_FIRST_LANGUAGES,
    ENOUGH,
    GOOD_NAME,
    GUESS,
    MARGIN,
    STRONG_NAME,
    Candidate,
    Findings,
    choices,
)
from rtp_workers.mapping.columns.no_dates import ask_for_time, short_date_lines
from rtp_workers.mapping.columns.profile import HALF, MOST, NEARLY_ALL, Profile

CALENDAR = ("year", "month", "day")
SOME_ROWS = 5
# Weight of the fit if some cells are not dates, and if most are empty.
STRAYS_FIT, SPARSE_FIT = 0.8, 0.7
LARGEST_HOUR = 50_000  # more steps than this are seconds: as hours they would be more than five years
MOST_DATES, OTHER_DATES = 0.98, 0.9  # dates that fit the best order, and at most those that fit the second
MADE_WORDS = frozenset({"created", "creation", "erstellt", "creacion", "criacao", "creazione", "aangemaakt"})
PLAIN_DATES = frozenset({"date", "datum", "fecha", "data", "dato", "tarih", "transaction date", "effectivedate"})
NUMBERS = frozenset({"balance", "fee", "rate", "other_amount"})  # a date is none, whatever its name is in some language
SURE = 1.0  # a strong name, word for word, and values that fit
STEP_LINES = (
    'step_origin = "2024-01-01T00:00:00Z"  # the moment of step 0: only you know it',
    'step_unit = "{unit}"  # second, minute, hour or day',
)


def find_time(found: Findings, more_cells: dict[str, list[str]]) -> None:
    """Decides the columns of ``occurred_at`` and the order of day and month.

    Args:
        more_cells: column name -> all cells of the sample and of what was read ahead, for the day order.
    """
    if not _given(found) and not _by_name(found):
        without_year = find_yearless(found)
        if without_year is not None:
            found.take("occurred_at", [without_year.profile], without_year.score, without_year.why)
        elif not (_calendar(found) or _step(found) or _by_values(found) or _counter(found)):
            if (named := find_named_months(found)) is not None:
                found.take("occurred_at", [named], BY_VALUES, "values (days and months)")
            else:
                ask_for_time(found)
    ask_for_year(found)
    if any(role in found.uses for role in ("occurred_at", "date")):
        _decide_order(found, more_cells)
    decide_clock_digits(found)
    find_zone(found)


def _given(found: Findings) -> bool:
    if "occurred_at" in found.section.constants:
        return True
    roles = [role for role in ("occurred_at", "date", "time", "step", *CALENDAR) if found.take_given(role)]
    if "step" in roles:
        _ask_origin(found, found.profile(found.uses["step"].columns[0]))
    if "date" in roles and "time" not in roles:
        add_clock(found, found.profile(found.uses["date"].columns[0]))
    if "occurred_at" in roles:
        profile = found.profile(found.uses["occurred_at"].columns[0])
        if len(found.uses["occurred_at"].columns) == 1 and found.section.date_format is None:
            _note_epoch(found, profile)
            if not profile.has_clock and not profile.epoch:
                add_clock(found, profile)
    return bool(roles) and roles != ["time"]


def _fit(profile: Profile) -> float:
    epoch = profile.epoch is not None
    if profile.dates < HALF and not epoch:
        return 0.0
    fits = 1.0 if profile.dates >= MOST or epoch else STRAYS_FIT
    return fits * (1.0 if profile.filled >= HALF else SPARSE_FIT)


def _by_name(found: Findings) -> bool:
    candidates = _without_records(_without_constants(found.candidates("occurred_at", _fit)))
    if not candidates:
        return False
    best = candidates[0]
    rivals = [other for other in candidates[1:] if best.score - other.score < MARGIN and _differ(best, other)]
    if not rivals and _says_record(best):
        unknown = [other for other in candidates[1:] if not _says_record(other) and not other.name.exact]
        rivals = [other for other in unknown if _differ(best, other)]
    others = [] if rivals else _unknown_dates(found, best)
    if rivals:
        rivals = [other for other in rivals if other.profile.has_clock or not best.profile.has_clock]
        clocked = [other for other in (best, *rivals) if other.profile.has_clock]
        in_utc = [other for other in (best, *rivals) if "UTC" in other.profile.name and not zone_in(other.profile.name)]
        full = [other for other in (best, *rivals) if other.profile.filled == 1.0]
        if len(full) == 1:  # each row needs a time, and only one column has it
            best, rivals = full[0], []
        elif len(clocked) == 1 or len(in_utc) == 1:
            best, rivals = (clocked if len(clocked) == 1 else in_utc)[0], []
        elif happen_together([best.profile, *(other.profile for other in rivals)]):
            rivals = []
    if others := [*(other.profile for other in rivals), *others]:
        names = [profile.name for profile in (best.profile, *others)]
        lines = choices("occurred_at", [best.profile, *others])
        found.ask("occurred_at", f"several columns may be the time of the transaction: {', '.join(names)}", *lines)
    elif best.profile.filled < MOST:  # each row needs a time
        full = [one for one in candidates if one.profile.filled == 1.0 and one.score >= GOOD_NAME]
        best = full[0] if full else best
    _take_date(found, best.profile, best.score, best.why)
    return True


def _unknown_dates(found: Findings, best: Candidate) -> list[Profile]:
    """Returns the other columns of dates if the name of the best one does not settle that it comes before them."""
    if best.name.exact and best.name.score >= STRONG_NAME:
        return []
    return [
        profile
        for profile in found.free()
        if profile is not best.profile
        and profile.dates >= MOST
        and profile.filled > HALF
        and len(profile.distinct) > 1
        and not _only_digits(profile)
        and not is_stamp_name(profile.name)
        and (profile.has_clock or not best.profile.has_clock)
        and list(profile.cells) != list(best.profile.cells)
        and not _comes_after(profile, best)
    ]


def _comes_after(profile: Profile, best: Candidate) -> bool:
    """True if the vocabulary knows that a date is not the transaction's, or is its time less than the best one is."""
    role, name = vocabulary.best_role(profile.name)
    if role == "occurred_at":
        return name.exact and best.name.exact
    return role in vocabulary.DECOYS and name.score >= ENOUGH


def _without_constants(candidates: list[Candidate]) -> list[Candidate]:
    """Leaves out columns with the same moment in every row (perhaps that of the export), if another column varies."""
    varying = [one for one in candidates if len(one.profile.distinct) > 1 or one.profile.rows < SOME_ROWS]
    # A file of one day has one transaction date, which the day of settlement does not replace.
    settled = bool(varying) and varying[0].score < GOOD_NAME and candidates[0].name.score > SURE
    return candidates if settled else varying or candidates


def _without_records(candidates: list[Candidate]) -> list[Candidate]:
    """Leaves out columns that say when the record was written, if another one simply holds a date."""
    happened = [one for one in candidates if not _says_record(one)]
    plain = any(one.name.exact and (one.name.phrase in PLAIN_DATES or one.score >= SURE) for one in happened)
    return happened if plain else candidates


def _says_record(candidate: Candidate) -> bool:
    return bool(set(normalise(candidate.profile.name).split()) & MADE_WORDS)


def _differ(one: Candidate, other: Candidate) -> bool:
    return list(one.profile.cells) != list(other.profile.cells)


def _take_date(found: Findings, profile: Profile, confidence: float, why: str) -> None:
    found.take("occurred_at", [profile], confidence, why)
    if profile.epoch and profile.dates < MOST:
        _note_epoch(found, profile)
    elif not profile.has_clock:
        add_clock(found, profile)


def _note_epoch(found: Findings, profile: Profile) -> None:
    if profile.epoch and profile.dates < MOST and found.section.epoch_unit is None:
        found.rules["epoch_unit"] = profile.epoch
        found.notes.append(f"{profile.name} counts {profile.epoch} since 1970-01-01 UTC")


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
    clocks = found.candidates("time", lambda profile: float(profile.clocks >= MOST))
    written = [
        profile for profile in found.free() if profile.clocks >= MOST and profile.share(lambda c: ":" in c) >= MOST
    ]
    if clocks:
        found.take("time", [clocks[0].profile], clocks[0].score, clocks[0].why)
    elif len(written) == 1:
        found.take("time", written, BY_VALUES, "values (the only times of day)")
    return True


def _whole_between(profile: Profile, low: int, high: int) -> float:
    return float(profile.share(lambda cell: cell.isdigit() and low <= int(cell) <= high) >= NEARLY_ALL)


def _step(found: Findings) -> bool:
    return _take_step(found, found.candidates("step", lambda profile: float(profile.whole_numbers >= NEARLY_ALL)))


def _counter(found: Findings) -> bool:
    """Finds a column called time with plain numbers, which count from some moment. Dates in other columns win.

    Next to dates that mean another time, such as the start of a month's work, hours are a quantity.
    """
    if any(one.dates >= MOST and not _only_digits(one) for one in found.free()):
        return False
    numbers = found.candidates("time", lambda profile: float(profile.numbers >= NEARLY_ALL and profile.clocks < MOST))
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
    unit = "second" if largest > LARGEST_HOUR or profile.name.lower() in ("time", "transactiondt") else "hour"
    if found.section.step_origin is None:
        question = f"{profile.name} counts steps from a moment that the file does not state"
        found.ask("occurred_at", question, *(line.format(unit=unit) for line in STEP_LINES))
    if found.section.step_unit is None:
        found.rules["step_unit"] = unit


def _by_values(found: Findings) -> bool:
    """Decides without a clear name: takes the only column of dates, or asks."""
    free = [profile for profile in found.free() if profile.dates >= MOST and profile.filled > HALF]
    named = [profile for profile in free if vocabulary.best_role(profile.name)[0] in vocabulary.DECOYS - NUMBERS]
    named = [profile for profile in named if not _has_an_amount(found, profile)]
    # Six or eight digits alone may be any number: they need a name or a separator.
    dated = [profile for profile in free if profile not in named and not _only_digits(profile)]
    if not dated:
        return False
    if (misnamed := next(filter(_is_named_time_without_dates, found.free()), None)) is not None:
        found.ask(
            "occurred_at",
            f"{misnamed.name} should hold dates, and has none, so the header may not fit the columns below it; correct "
            "the file, or say which column is the time",
            *choices("occurred_at", dated),
        )
    if (settled := settled_date(dated)) is not None:
        _take_date(found, settled[0], BY_VALUES, settled[1])
        return True
    names = ", ".join(profile.name for profile in dated)
    question = f"several columns contain dates, and nothing shows which one to use: {names}"
    found.ask("occurred_at", question, *choices("occurred_at", dated))
    _take_date(found, dated[0], GUESS, "values")
    return True


def _is_named_time_without_dates(profile: Profile) -> bool:
    named = vocabulary.best_role(profile.name)[0] == "occurred_at" and "date" in normalise(profile.name).split()
    return named and profile.filled > HALF and profile.dates == 0 and profile.letters > HALF


def _has_an_amount(found: Findings, profile: Profile) -> bool:
    """True if an amount is named like the date: ``payout_amount`` next to ``payout_date``."""
    words = normalise(profile.name).split()
    amounts = {f"{' '.join(words[:-1])} {word}" for word in ("amount", "total", "sum", "value")}
    return len(words) > 1 and any(normalise(one.name) in amounts for one in found.profiles)


def _only_digits(profile: Profile) -> bool:
    if profile.share(str.isdigit) <= HALF:
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
    if not shapes and found.yearless:
        numeric = [full for cell in dict.fromkeys(cells) if (full := yearless.numeric_shape(cell)) is not None]
    if not numeric or found.rules.get("epoch_unit"):
        if not found.rules.get("epoch_unit") and section.day_first is None:
            found.leave_open("date_order")
        return
    if section.day_first is not None and numeric[0].kind != "compact":
        return
    orders = possible_orders(numeric)
    if len(orders) != 1:
        orders = _narrowed(found, orders, numeric, more_cells)
    if len(orders) == 1:
        found.rules["date_order"] = orders[0]
        return
    example = next((cell for cell in cells if dates.shape_of(cell) or found.yearless), "")
    if "YMD" in orders:
        found.ask(
            "occurred_at", f"{example!r} in {columns[0]} may begin with the year or the day", *short_date_lines(example)
        )
        return
    found.ask(
        "occurred_at",
        f"{example!r} in {columns[0]} may be day first or month first, and no row of the sample shows which",
        "# day_first = true  # 31/12",
        "# day_first = false  # 12/31",
        kind="day_order",
    )


def _is_rather_first(shapes: Sequence[dates.Shape]) -> bool:
    """Tells whether the year is rather the first number: in 24-01-10 and 24-01-15 it varies less than the last one."""
    first, last = ({shape.numbers[at] for shape in shapes} for at in (0, 2))
    return len(first) < len(last)


def possible_orders(shapes: Sequence[dates.Shape]) -> list[dates.Order]:
    """Returns the orders that no date contradicts; if all are contradicted, the one that fits 98 % of the dates."""
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
    if counts["YMD"] == total and (not two_digit or _is_rather_first(shapes)):
        return ["YMD", *day_orders]
    if day_orders:
        return day_orders
    (best, most), *rest = counts.most_common()
    second = rest[0][1] if rest else 0
    return [best] if most >= total * MOST_DATES and second <= most * OTHER_DATES else []


def _narrowed(
    found: Findings, orders: list[dates.Order], shapes: list[dates.Shape], more_cells: dict[str, list[str]]
) -> list[dates.Order]:
    """Looks for other evidence: points between the numbers, the file's other dates, the header's language."""
    if not orders:
        return orders
    if all(shape.separator == "." for shape in shapes):
        return ["DMY"]
    for profile in found.profiles:
        if profile.dates >= MOST and profile.index not in found.taken:
            cells = more_cells.get(profile.name, list(profile.cells))
            others = [s for cell in dict.fromkeys(cells) if (s := dates.shape_of(cell)) and s.kind == "numeric"]
            same = others and others[0].separator == shapes[0].separator
            decided = possible_orders(others) if same else []
            if len(decided) == 1 and decided[0] in orders:
                found.notes.append(f"day and month as in {profile.name}, where the sample shows the order")
                return decided
    if found.languages & DAY_FIRST_LANGUAGES:
        found.notes.append("day first, as usual in the header's language; day_first = false changes this")
        return ["DMY"]
    return orders
