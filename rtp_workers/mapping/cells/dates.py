"""Dates and times as people write them -> calendar parts. The order of day and month is decided once per file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from typing import Literal

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import months, zones

Order = Literal["YMD", "DMY", "MDY"]
ORDERS: tuple[Order, ...] = ("YMD", "DMY", "MDY")
FIRST_YEAR, LAST_YEAR = 1900, 2100
PIVOT = 69  # two-digit years from 69 on are 19xx, as in strptime

_LETTERS = r"[^\W\d_]"
_TIME = (
    r"(?P<hour>\d{1,2})(?:[:h.](?P<minute>\d{2}|\d(?=\s?[AaPp][Mm])))"
    r"(?:[:.m](?P<second>\d{2})(?:[.,:](?P<fraction>\d{1,9}))?s?)?"
    r"[  \s]*(?P<half>[AaPp]\.?\s?[Mm]\.?|上午|下午|午前|午後|오전|오후)?"
    r"(?:\s?(?:[Hh](?:rs?|s)?|[Uu]hr|[Uu]ur)\b\.?)?"
)
# An offset may be followed by the zone's name: 2024-05-30 14:06:45 +0000 UTC.
_ZONE = (
    r"(?:\+(?=UTC\b))?(?P<zone>Z|z|(?:UTC|GMT)?\s?[+\-−]\d{1,2}(?::?\d{2})?|[A-Z]{1,5})?"
    r"(?:(?<=\d)\s(?:[A-Z]{2,5}|[+\-]\d{4}))?(?:\s*\([^)]*\)|\[[\w/+\-]+\])?"
)
_TIME_ONLY = re.compile(rf"{_TIME}\s*{_ZONE}")
_AFTER_DATE = re.compile(rf"(?:[T ,;:./\-]|\s|at|um|às|alle)*{_TIME}\s*{_ZONE}", re.IGNORECASE)
_YMD = re.compile(r"(?P<y>\d{4})(?P<sep>[-/.:\s年])\s?(?P<m>\d{1,2})[-/.:\s月]\s?(?P<d>\d{1,2})(?!\d)(?:日|\.)?")
_NUMERIC = re.compile(r"(?P<a>\d{1,2})\s?(?P<sep>[-/. ])\s?(?P<b>\d{1,2})\s?(?P=sep)\s?'?(?P<c>\d{4}|\d{2})(?!\d)\.?")
_MONTH_FIRST = re.compile(
    rf"(?P<mon>{_LETTERS}{{3,12}})\.?[-/ .]*(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?[-/ .]+'?(?P<y>\d{{4}}|\d{{2}})(?!\d)"
)
_MONTH_SECOND = re.compile(
    rf"(?P<d>\d{{1,2}})(?:st|nd|rd|th|er|º|\.)?[-/ .]*(?:de |of )?(?P<mon>{_LETTERS}{{3,12}})\.?,?[-/ .]*(?:de )?"
    r"(?P<y>\d{4}|\d{2})(?!\d)"
)
_YEAR_MONTH_NAME = re.compile(rf"(?P<y>\d{{4}})[-/ .]*(?P<mon>{_LETTERS}{{3,12}})\.?[-/ .]*(?P<d>\d{{1,2}})(?!\d)\.?")
_COMPACT = re.compile(
    r"(?P<date>\d{8})(?:[T ]?(?P<h>\d{2})(?P<mi>\d{2})(?P<s>\d{2})?(?P<z>Z|[+\-]\d{2}:?\d{2})?)?(?:[.,]0+)?(?!\d)"
)
_SHORT = re.compile(r"\d{6}")
# The format of C's ctime and Java's Date, in which the clock comes before the year.
_CTIME = re.compile(
    rf"(?P<mon>{_LETTERS}{{3,12}}) +(?P<d>\d{{1,2}}),? +"
    r"(?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: [A-Z]{1,5})?) +(?P<y>\d{4})(?!\d)"
)
_CLOCK_FIRST = re.compile(r"(\d{1,2}:\d{2}(?::\d{2})?(?:\s?[AaPp][Mm])?)[\s,]+")
OTHER_DATE = re.compile(
    r"\s+(?:as of|effective|eff\.?|per|valuta|value date|posted|trans(?:action)?(?: date)?)\s+", re.IGNORECASE
)
_NUMBER_OF_THE_DAY = re.compile(r"\s+-\s?\d{1,4}\s*")  # 2026/08/03 -3 is the third document of that day
_WEEKDAY = re.compile(rf"{_LETTERS}{{2,12}}\.?,?\s+")
_WEEKDAY_AFTER = re.compile(rf"^\s*[(（]{_LETTERS}{{1,9}}\.?[)）]")  # 2024/05/25(Sat)
_EPOCH = re.compile(r"(\d{9,10}|\d{13}|\d{16}|\d{19})(?:\.(\d+))?")
EPOCH_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_EPOCH_UNITS = {13: "ms", 16: "us", 19: "ns"}  # by the number of digits
_CLOCK_DIGITS = re.compile(r"\d{1,6}(?:\.0+)?")


@dataclass(frozen=True, slots=True)
class Moment:
    """What one cell says.

    Attributes:
        day: ``YYYY-MM-DD``.
        clock: ``HH:MM:SS[.fraction]``; None if the cell has no time.
        zone: an offset (``+01:00``), a zone's abbreviation, or None.
    """

    day: str
    clock: str | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """The form of a cell (``ymd``, ``numeric``, ``month``, ``compact``, ``short`` or ``epoch``), and its numbers."""

    kind: str
    numbers: tuple[str, str, str]
    separator: str
    rest: str

    def readings(self) -> frozenset[Order]:
        """Returns the orders of day, month and year in which the numbers are a calendar date."""
        return frozenset(order for order in ORDERS if _day(self, order) is not None)


@lru_cache(maxsize=20_000)
def shape_of(cell: str) -> Shape | None:
    """Returns the form in which a cell writes a date; None if it is not a date."""
    text = cell.strip().removeprefix("=").strip("\"'").strip()  # ="2026-09-23" is a text in a spreadsheet
    if not 6 <= len(text) <= 80 or not any(char.isdigit() for char in text):
        return None
    if (found := _YMD.match(text)) is not None:
        return Shape("ymd", (found["y"], found["m"], found["d"]), found["sep"], text[found.end() :])
    if (found := _NUMERIC.match(text)) is not None:
        return Shape("numeric", (found["a"], found["b"], found["c"]), found["sep"], text[found.end() :])
    if (found := _COMPACT.fullmatch(text)) is not None:
        clock = f" {found['h']}:{found['mi']}:{found['s'] or '00'}{found['z'] or ''}" if found["h"] else ""
        return Shape("compact", (found["date"], "", ""), "", clock)
    if _SHORT.fullmatch(text):
        return Shape("short", (text[:2], text[2:4], text[4:]), "", "")
    if (found := _CLOCK_FIRST.match(text)) is not None:
        shape = shape_of(text[found.end() :])
        return replace(shape, rest=f" {found[1]}") if shape is not None and not shape.rest.strip() else None
    return _named_month(text)


def _named_month(text: str) -> Shape | None:
    weekday = _WEEKDAY.match(text)
    for start in (text, text[weekday.end() :] if weekday else ""):
        if (found := _CTIME.fullmatch(start)) is not None and (month := months().get(normalise(found["mon"]))):
            return Shape("month", (found["y"], str(month), found["d"]), "", f" {found['clock']}")
        for pattern in (_YEAR_MONTH_NAME, _MONTH_SECOND, _MONTH_FIRST):
            found = pattern.match(start)
            month = months().get(normalise(found["mon"])) if found else None
            if found is not None and month is not None:
                return Shape("month", (found["y"], str(month), found["d"]), "", start[found.end() :])
    return _shape_after_weekday(text[weekday.end() :]) if weekday else None


def _shape_after_weekday(text: str) -> Shape | None:
    return shape_of(text) if text[:1].isdigit() else None


def _day(shape: Shape, order: Order) -> str | None:
    first, second, third = shape.numbers
    if shape.kind in ("ymd", "month"):
        year, month, day = first, second, third
    elif shape.kind == "compact":
        year, month, day = _compact_numbers(first, order)
    elif order == "YMD":
        year, month, day = first, second, third
        if len(year) != 2 or len(day) != 2:
            return None
    else:
        year, (day, month) = third, (first, second) if order == "DMY" else (second, first)
    try:
        found = date(_full_year(year), int(month), int(day))
    except ValueError:
        return None
    return found.isoformat() if FIRST_YEAR <= found.year <= LAST_YEAR else None


def _compact_numbers(digits: str, order: Order) -> tuple[str, str, str]:
    if order == "YMD":
        return digits[:4], digits[4:6], digits[6:]
    first, second, year = digits[:2], digits[2:4], digits[4:]
    return (year, second, first) if order == "DMY" else (year, first, second)


def _full_year(year: str) -> int:
    number = int(year)
    if len(year) > 2:
        return number
    return number + (1900 if number >= PIVOT else 2000)


def parse(cell: str, order: Order) -> Moment | None:
    """Returns the moment that a cell names in this order, or None: ``13/02/2024`` is not a date in the order M/D/Y."""
    shape = shape_of(cell)
    day = _day(shape, order) if shape is not None else None
    if shape is None or day is None:
        return None
    rest = without_other_date(shape.rest)
    rest = "" if _NUMBER_OF_THE_DAY.fullmatch(rest) else _WEEKDAY_AFTER.sub("", rest, count=1)
    if not rest.strip(" ,;.T"):
        return Moment(day)
    found = _AFTER_DATE.fullmatch(rest.strip())
    clock = _clock(found) if found is not None else None
    if found is None or clock is None:
        return None
    return Moment(day, clock, found["zone"] or None)


def without_other_date(rest: str) -> str:
    """Removes a second date from the text after a date: ``09/16/2020 as of 09/15/2020`` was booked on the first one."""
    found = OTHER_DATE.search(rest)
    return rest[: found.start()] if found is not None and shape_of(rest[found.end() :]) is not None else rest


@lru_cache(maxsize=20_000)
def is_date(cell: str) -> bool:
    """Tells whether the whole cell is a date, or a date and time, in some order of day and month."""
    shape = shape_of(cell)
    return shape is not None and any(parse(cell, order) is not None for order in shape.readings())


def _clock(found: re.Match[str]) -> str | None:
    hour, minute, second = int(found["hour"]), int(found["minute"] or 0), int(found["second"] or 0)
    half = (found["half"] or "").replace(".", "").replace(" ", "").lower()
    if half:
        if not 1 <= hour <= 12 and not (hour <= 23 and half not in ("am", "pm")):
            return None
        late = half in ("pm", "下午", "午後", "오후")
        hour = hour % 12 + (12 if late else 0) if hour <= 12 else hour
    if hour > 23 or minute > 59 or second > 59:
        return None
    fraction = f".{found['fraction']}" if found["fraction"] else ""
    return f"{hour:02}:{minute:02}:{second:02}{fraction}"


@lru_cache(maxsize=20_000)
def parse_clock(cell: str, digits: str = "HHMMSS") -> tuple[str, str | None] | None:
    """Returns (``HH:MM:SS``, zone or None) of a cell that holds only a time, or None.

    Args:
        digits: what a bare number means: ``HHMMSS`` or ``HHMM``. Leading zeros may be lost (``14450`` is 01:44:50).
    """
    text = cell.strip().strip('"').strip()
    if len(text) == 6 == len(digits) and text.isdigit() and text[:2] < "24" and text[2] < "6" and text[4] < "6":
        return f"{text[:2]}:{text[2:4]}:{text[4:]}", None
    if _CLOCK_DIGITS.fullmatch(text):
        padded = text.split(".")[0].zfill(len(digits))
        if len(padded) > len(digits):
            return None
        padded = padded.ljust(6, "0")
        text = f"{padded[:2]}:{padded[2:4]}:{padded[4:6]}"
    found = _TIME_ONLY.fullmatch(text)
    clock = _clock(found) if found is not None else None
    return (clock, found["zone"] or None) if found is not None and clock is not None else None


def offset_minutes(zone: str) -> int | None:
    """Returns the minutes east of UTC for ``Z``, ``+05:30``, ``UTC+2`` or a known abbreviation; None for others."""
    text = zone.strip().upper().replace("−", "-")
    if text in zones():
        return zones()[text]
    found = re.fullmatch(r"(?:UTC|GMT)?\s?([+-])(\d{1,2})(?::?(\d{2}))?", text)
    if found is None:
        return None
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    return (minutes if found[1] == "+" else -minutes) if minutes < 16 * 60 else None


def epoch_unit(cells: Iterable[str]) -> str | None:
    """Returns ``s``, ``ms``, ``us`` or ``ns`` if every cell, in that unit since 1970, is in 1980..2099; else None."""
    units = set()
    for cell in cells:
        found = _EPOCH.fullmatch(cell.strip())
        if found is None:
            return None
        units.add(_EPOCH_UNITS.get(len(found[1]), "s"))
        seconds = int(found[1]) / EPOCH_PER_S[next(iter(units))]
        if len(units) > 1 or not 315_532_800 <= seconds < 4_102_444_800:
            return None
    return units.pop() if units else None


def parse_format(cell: str, pattern: str) -> Moment | None:
    """Reads a cell with a strptime format from the mapping. Returns None if it does not match."""
    try:
        found = datetime.strptime(cell.strip(), pattern)
    except ValueError:
        return None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        return None
    has_clock = any(code in pattern for code in ("%H", "%I", "%X", "%c", "%T"))
    clock = found.time().isoformat() if has_clock else None
    return Moment(found.date().isoformat(), clock, found.strftime("%z") or None)
