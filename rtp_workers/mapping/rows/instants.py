"""Cells with dates and times -> RFC 3339 texts, by the plan's rules. A cell that is not a date refuses its row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from rtp_workers.errors import ConfigError
from rtp_workers.mapping.cells import dates, yearless
from rtp_workers.mapping.cells.local_times import oddity, offset_of, zone_name_at
from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import months
from rtp_workers.mapping.plan import FilePlan, Rules, has_year

EXCEL = "excel"
EXCEL_EPOCH = datetime(1899, 12, 30, tzinfo=UTC)
TWICE = "occurred_at_twice"
ODDITIES = {"twice": "twice, when clocks go back,", "never": "not at all, when clocks go forward,"}
STEP_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
CACHE_ENTRIES = 100_000
LOOKED_AT_CLOCKS = 20_000


# A date in numbers whose year does not come first, or six digits.
_IN_NUMBERS = re.compile(r"(?m)^[\s'\"]*(?:\d{1,2}[-/. ]\s?\d{1,2}[-/. ]|\d{6}[\s'\"]*$)")


# A column of times in UTC in the form in which they are stored.
_AS_STORED = re.compile(
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?Z\n)++"
)
# A clock that reads as it is stored, but perhaps without seconds.
_PLAIN_CLOCK = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?")


class NoInstantError(ValueError):
    """Cells that do not name an instant. ``reason`` is a stable code; the message is one sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


Answer = str | NoInstantError


class Instants:
    """Reads the time columns of one file. Not thread-safe: it remembers cells that it has seen.

    Attributes:
        columns: positions of the columns to read, in the order that `read` expects.
    """

    def __init__(self, plan: FilePlan) -> None:
        self._plan, self._rules = plan, plan.rules
        self._is_open = "date_order" in plan.rules.open_rules
        self._asks_about_twice = "ambiguous" in plan.rules.open_rules
        self._constant = plan.rules.constants.get("occurred_at")
        self._seen: dict[tuple[str, ...], Answer] = {}
        self._days: dict[str, str] = {}
        self._dates: dict[tuple[str, ...], str] = {}
        self._clocks: dict[str, str] = {}
        where = self._where = {name: at for at, name in enumerate(plan.dialect.columns)}
        self.columns, self._parse = _reading(plan, where)
        zones = [where[plan.uses["time_zone"].columns[0]]] if "time_zone" in plan.roles_read else []
        self._zoned = bool(zones)
        self.columns += zones
        plain = plan.rules.date_format is None and plan.rules.epoch_unit is None and "step" not in plan.uses
        self._may_be_stored = plain and not zones and len(self.columns) == 1 and plan.rules.year is None
        in_utc = plain and not zones and plan.rules.time_zone == "UTC"
        self._splits = in_utc and len(self.columns) == 1
        self._joins = in_utc and "time" in plan.uses

    def read(self, columns: Sequence[Sequence[str]]) -> list[Answer]:
        """Returns one answer per row. ``columns`` holds the cells of `self.columns`, all of the same length.

        Raises:
            ConfigError: a date needs an order of day and month that nothing in the file decides, or a local time
                occurs twice and nobody has said which of the two instants it is.
        """
        if self._constant is not None and not columns:
            return []
        if self._is_open and _IN_NUMBERS.search("\n".join(columns[0])) is not None:
            self._settle(columns[0])
        if len(self._seen) > CACHE_ENTRIES:
            self._seen.clear()
        if len(columns) == 1 and len(distinct := set(columns[0])) * 2 < len(columns[0]):
            answers = {cell: self._whole((cell,)) for cell in distinct}
            return list(map(answers.__getitem__, columns[0]))
        if self._may_be_stored and self._are_as_stored(columns[0]):
            return list(columns[0])
        if self._splits:
            return list(map(self._split, columns[0]))
        read = self._joined if self._joins else self._whole
        return list(map(read, zip(*columns, strict=True)))

    def _are_as_stored(self, cells: Sequence[str]) -> bool:
        """Tells whether every cell is a UTC instant in the stored form, with a day that exists."""
        if _AS_STORED.fullmatch("\n".join(cells) + "\n") is None:
            return False
        return all(
            (found := dates.parse(day, "YMD")) is not None and found.day == day for day in {c[:10] for c in cells}
        )

    def _settle(self, cells: Sequence[str]) -> None:
        """Decides the order of day and month by the first dates in numbers, if the file's beginning left it open."""
        shapes = [shape for cell in set(cells) if (shape := dates.shape_of(cell)) is not None]
        numeric = [shape for shape in shapes if shape.kind in ("numeric", "short") and shape.readings()]
        if not numeric:
            return
        orders = set(numeric[0].readings()).intersection(*(shape.readings() for shape in numeric))
        if len(orders) != 1:
            example = next(cell for cell in cells if dates.shape_of(cell) in numeric)
            raise ConfigError(
                f"the date {example!r} may be day first or month first, and no row up to it decides; "
                "add day_first = true or day_first = false to the section of this file, and load it again: "
                "rows that are loaded keep their ids"
            )
        self._is_open = False
        self._rules = replace(self._rules, date_order=orders.pop())
        self._parse = _reading(replace(self._plan, rules=self._rules), self._where)[1]

    def _joined(self, cells: tuple[str, ...]) -> Answer:
        """Does the same as `_split`, for a time of day in a separate column."""
        *date_cells, clock_cell = cells
        day, clock = self._dates.get(cells[:-1]), self._clocks.get(clock_cell)
        if day is not None and clock is not None:
            return f"{day}T{clock}Z"
        self._limit_memory()
        if day is None:
            midnight = self._answer((*date_cells, ""))
            if isinstance(midnight, NoInstantError):
                return midnight
            if not midnight.endswith("T00:00:00Z"):
                return self._answer(cells)
            day = self._dates[cells[:-1]] = midnight[:10]
        alone = (
            dates.parse_clock(clock_cell, _digits(clock_cell, self._rules))
            if clock_cell.strip()
            else ("00:00:00", None)
        )
        if alone is None or alone[1] is not None:
            return self._answer(cells)
        clock = self._clocks[clock_cell] = alone[0]
        return f"{day}T{clock}Z"

    def _limit_memory(self) -> None:
        if len(self._days) + len(self._clocks) + len(self._dates) > CACHE_ENTRIES:
            self._days.clear()
            self._clocks.clear()
            self._dates.clear()

    def _split(self, cell: str) -> Answer:
        """Combines an instant from a date and a time of day that were read before, as in most cells of most files."""
        head, mark, tail = cell.partition(" ")
        if not mark:
            head, mark, tail = cell.partition("T")
        day, clock = self._days.get(head), self._clocks.get(tail)
        if day is not None and clock is None and _PLAIN_CLOCK.fullmatch(tail) is not None:
            clock = tail if len(tail) == len("HH:MM:SS") else f"{tail}:00"
        if day is not None and clock is not None:
            return f"{day}T{clock}Z"
        known = self._seen.get((cell,))
        if known is not None:
            return known
        answer = self._answer((cell,))
        if isinstance(answer, str) and answer.endswith("Z"):
            alone = dates.parse(head, self._order)
            if (
                alone is not None
                and alone.clock is None
                and (not tail or dates.parse_clock(tail) == (answer[11:-1], None))
            ):
                self._limit_memory()
                self._days[head] = alone.day
                self._clocks[tail] = answer[11:-1]
                return answer
        self._seen[(cell,)] = answer
        return answer

    @property
    def _order(self) -> dates.Order:
        return _order(self._rules)

    def _whole(self, cells: tuple[str, ...]) -> Answer:
        known = self._seen.get(cells)
        if known is None:
            known = self._seen[cells] = self._answer(cells)
        return known

    def _answer(self, cells: tuple[str, ...]) -> Answer:
        parts = cells[:-1] if self._zoned else cells
        if not any(cell.strip() for cell in parts):
            return NoInstantError("occurred_at_missing", "the row has no date")
        try:
            moment = self._parse(parts)
        except NoInstantError as error:
            return error
        if isinstance(moment, str):
            return moment
        zone = moment.zone or (cells[-1].strip() if self._zoned else "") or self._rules.time_zone
        clock = moment.clock or "00:00:00"
        if moment.zone is None and (odd := oddity(zone, moment.day, clock)):
            answer = NoInstantError(f"occurred_at_{odd}", f"{moment.day} {clock} comes {ODDITIES[odd]} in {zone}")
            if self._rules.ambiguous == "refuse":
                return answer
            if self._asks_about_twice and answer.reason == TWICE:
                raise ConfigError(
                    f'{answer} and nothing says which of the two instants it is; add ambiguous = "earlier", '
                    '"later" or "refuse" to the section of this file, and load it again: rows that are loaded keep '
                    "their ids"
                )
        offset = offset_of(zone, moment.day, clock, later=self._rules.ambiguous == "later")
        if offset is None and zone_name_at(self._rules.time_zone, moment.day, clock) == zone:
            offset = offset_of(self._rules.time_zone, moment.day, clock)
        if offset is None:
            return NoInstantError("occurred_at_zone_unknown", f"{zone!r} is not a known time zone")
        return f"{moment.day}T{clock}{offset}"


def _order(rules: Rules) -> dates.Order:
    return "DMY" if rules.date_order == "DMY" else "MDY" if rules.date_order == "MDY" else "YMD"


Parse = Callable[[tuple[str, ...]], dates.Moment | str]


def _reading(plan: FilePlan, where: dict[str, int]) -> tuple[list[int], Parse]:
    """Returns the columns with dates and times, and the function that reads them."""
    uses, rules = plan.uses, plan.rules
    if "step" in uses:
        return [where[uses["step"].columns[0]]], lambda cells: _step(cells[0], rules)
    if "year" in uses:
        parts = [role for role in ("year", "month", "day", "time") if role in uses]
        positions = [where[uses[role].columns[0]] for role in parts]
        return positions, lambda cells: _calendar(dict(zip(parts, cells, strict=True)), rules)
    names = [name for role in ("occurred_at", "date", "time") if role in uses for name in uses[role].columns]
    positions = [where[name] for name in names]
    if rules.epoch_unit is not None:
        return positions, lambda cells: _epoch(cells[0], rules.epoch_unit or "s")
    if rules.date_format == EXCEL:
        return positions, lambda cells: _excel(cells[0])
    if rules.date_format is not None:
        pattern = rules.date_format
        return positions, lambda cells: _formatted(" ".join(cell.strip() for cell in cells), pattern, rules)
    order = _order(rules)
    if rules.year is not None or rules.year_from is not None:
        return positions, lambda cells: _dated(_with_year(cells, order, rules), order, rules)
    return positions, lambda cells: _dated(cells, order, rules)


def _dated(cells: tuple[str, ...], order: dates.Order, rules: Rules) -> dates.Moment:
    day = dates.parse(cells[0], order)
    if day is None:
        raise _no_date(cells[0], order)
    if len(cells) == 1 or not cells[1].strip():
        return day
    return dates.Moment(day.day, *_clock(cells[1], rules))


def _with_year(cells: tuple[str, ...], order: dates.Order, rules: Rules) -> tuple[str, ...]:
    """Adds the mapping's year to a date without one."""
    full = yearless.complete(cells[0], order, rules.year, rules.year_from) if dates.shape_of(cells[0]) is None else None
    return (full, *cells[1:]) if full is not None else cells


def _no_date(cell: str, order: dates.Order) -> NoInstantError:
    other = next((name for name in dates.ORDERS if dates.parse(cell, name) is not None), None)
    if other is not None:
        words = {"DMY": "day first", "MDY": "month first", "YMD": "year first"}
        return NoInstantError("occurred_at_contradicts_order", f"{cell[:40]!r} is not a date with the {words[order]}")
    return NoInstantError("occurred_at_not_a_date", f"{cell[:40]!r} is not a date")


def _clock(cell: str, rules: Rules) -> tuple[str, str | None]:
    found = dates.parse_clock(cell, _digits(cell, rules))
    if found is None:
        raise NoInstantError("occurred_at_not_a_time", f"{cell[:40]!r} is not a time of day")
    return found


def _digits(cell: str, rules: Rules) -> str:
    """Returns the form of a time in digits: HHMM if it is zero-padded with four digits, else that of its column."""
    text = cell.strip()
    if rules.clock_digits != "HHMMSS":
        return rules.clock_digits
    return "HHMM" if len(text) == 4 and text.isdigit() and text[0] == "0" else "HHMMSS"


def _calendar(cells: Mapping[str, str], rules: Rules) -> dates.Moment:
    """Reads a year, a month in digits or words, and a day. Without a column of days, it is the first of the month."""
    year, month, day = (cells.get(part, "1").strip().split(".")[0] for part in ("year", "month", "day"))
    month = str(months().get(normalise(month), month))
    text = f"{year}-{month.zfill(2)}-{day.zfill(2)}"
    moment = dates.parse(text, "YMD")
    if moment is None:
        raise NoInstantError("occurred_at_not_a_date", f"{text[:40]!r} is not a date")
    clock = cells.get("time", "").strip()
    return dates.Moment(moment.day, *_clock(clock, rules)) if clock else moment


def _formatted(cell: str, pattern: str, rules: Rules) -> dates.Moment:
    year = rules.year or (rules.year_from[1] if rules.year_from else None)
    moment = dates.parse_format(cell, pattern) if has_year(pattern) else _formatted_in(year, cell, pattern)
    if moment is not None and rules.year_from is not None and not has_year(pattern):
        month, first = rules.year_from
        year = first + (int(moment.day[5:7]) < month)
        moment = _formatted_in(year, cell, pattern)
    if moment is None:
        raise NoInstantError("occurred_at_not_a_date", f"{cell[:40]!r} is not written as {pattern}")
    return moment


def _formatted_in(year: int | None, cell: str, pattern: str) -> dates.Moment | None:
    return dates.parse_format(f"{year} {cell}", f"%Y {pattern}") if year is not None else None


def _number(cell: str) -> Decimal:
    try:
        number = Decimal(cell.strip())
    except InvalidOperation as error:
        raise NoInstantError("occurred_at_not_a_number", f"{cell[:40]!r} is not a number") from error
    if not number.is_finite():
        raise NoInstantError("occurred_at_not_a_number", f"{cell[:40]!r} is not a number")
    return number


def _after(start: datetime, seconds: Decimal, cell: str) -> str:
    try:
        found = start + timedelta(microseconds=int(seconds * 1_000_000))
    except (OverflowError, ValueError) as error:
        raise NoInstantError("occurred_at_range", f"{cell[:40]!r} is beyond the calendar") from error
    return found.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _epoch(cell: str, unit: str) -> str:
    number = _number(cell)
    if unit == "ns":
        number, unit = (number / 1000).to_integral_value(), "us"  # to the nearest microsecond, as a text is stored
    return _after(datetime(1970, 1, 1, tzinfo=UTC), number / dates.EPOCH_PER_S[unit], cell)


def _excel(cell: str) -> dates.Moment:
    text = _after(EXCEL_EPOCH, _number(cell) * 86_400, cell)
    return dates.Moment(text[:10], text[11:-1])


def _step(cell: str, rules: Rules) -> str:
    origin = datetime.fromisoformat(rules.step_origin or "1970-01-01T00:00:00+00:00")
    return _after(origin, _number(cell) * STEP_S[rules.step_unit], cell)
