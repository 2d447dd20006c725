"""Asks for the time of a transaction if no column holds a whole date, with those that hold a part of one."""

from __future__ import annotations

from collections.abc import Iterable

from rtp_workers.mapping.cells import dates
from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import months as month_names
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.findings import BY_VALUES, ENOUGH, Findings, choices
from rtp_workers.mapping.columns.profile import MOST, NEARLY_ALL, Profile
from rtp_workers.mapping.toml_text import quoted

SHORT_FORMATS: dict[dates.Order, tuple[str, str, str]] = {
    "YMD": ("%y", "%m", "%d"),
    "DMY": ("%d", "%m", "%y"),
    "MDY": ("%m", "%d", "%y"),
}
CLOCK_FORMATS = ("", " %H:%M:%S", " %H:%M", "T%H:%M:%S", " %I:%M:%S %p", " %I:%M %p")
# 2026-01, 01/2026, Dec-21
BIRTH = frozenset({"birth", "birthday", "dob", "geburtsdatum", "geburtstag", "naissance", "nacimiento", "nascimento"})
MONTHS_IN_NUMBERS = ("%Y-%m", "%Y/%m", "%Y.%m", "%m-%Y", "%m/%Y", "%m.%Y")
MONTHS_IN_WORDS = ("%b-%y", "%b %Y", "%b-%Y", "%B %Y", "%B-%Y")


def ask_for_time(found: Findings) -> None:
    """Asks for the column, and names those that may be dates in digits. It never offers one moment for all rows."""
    digits = [profile for profile in found.free() if is_short_date(profile)]
    question, lines = (
        "no column contains a date or a time",
        ['# columns.occurred_at = "..."  # the column that holds it'],
    )
    if digits:
        names = ", ".join(profile.name for profile in digits)
        question, lines = f"no column is clearly a date; {names} may be dates written in digits only", []
    for profile in digits:
        lines += [*choices("occurred_at", [profile]), *short_date_lines(profile.cells[0])]
    others = [] if digits else [one for one in found.free() if _is_other_date(one)]
    months = [] if digits else _months_only(found.free())
    if months:
        question = f"no column contains a whole date; {months[0][0].name} gives only the month"
        lines = [line for profile, pattern in months for line in _month_lines(profile, pattern)]
        lines += choices("occurred_at", others)
    elif not digits and len(parts := _year_and_month(found)) == 2:
        question = "no column contains a whole date; {} and {} give only the month".format(*(one.name for one in parts))
        lines = [
            f"# columns.year = {quoted([parts[0].name])}",
            f"# columns.month = {quoted([parts[1].name])}  # the first day of the month",
        ]
    elif others:
        names = ", ".join(profile.name for profile in others)
        question = f"no column says when the transactions were made; {names} may mean another time"
        lines = choices("occurred_at", others)
    found.ask("occurred_at", question, *lines, kind="no_time")


def _year_and_month(found: Findings) -> list[Profile]:
    """Returns a column of years and one of months, if there are both."""
    years = found.candidates("year", lambda profile: float(profile.share(_is_year) >= NEARLY_ALL))
    named = found.candidates("month", lambda profile: float(profile.share(_is_month) >= NEARLY_ALL))
    return [one.profile for one in (*years[:1], *named[:1])] if years and named else []


def _is_year(cell: str) -> bool:
    return len(cell) == 4 and cell.isdigit() and dates.FIRST_YEAR <= int(cell) <= dates.LAST_YEAR


def _is_month(cell: str) -> bool:
    return normalise(cell) in month_names() or (cell.isdigit() and 1 <= int(cell) <= 12)


def _is_other_date(profile: Profile) -> bool:
    """True for dates whose name means something else, such as a due date, but not for dates of birth."""
    return profile.dates >= MOST and not set(normalise(profile.name).split()) & BIRTH


def short_date_lines(cell: str) -> list[str]:
    """Returns the line for each way to read a date with a two-digit year."""
    readings = {order: day for order in SHORT_FORMATS if (day := dates.parse(cell, order)) is not None}
    separator = next((char for char in cell if not char.isdigit()), "")
    lines = []
    for order, read in readings.items():
        bare = separator.join(SHORT_FORMATS[order])
        pattern = next((bare + clock for clock in CLOCK_FORMATS if dates.parse_format(cell, bare + clock)), None)
        if pattern is not None:
            lines.append(f'# date_format = "{pattern}"  # {cell} is {read.day}')
    return lines


def is_short_date(profile: Profile) -> bool:
    """True if six digits are a date in every row. Numbers may look the same, so a person decides."""
    is_named_otherwise = vocabulary.best_role(profile.name)[1].score >= BY_VALUES
    return (
        profile.share(lambda cell: len(cell) == 6 and cell.isdigit()) == 1.0
        and profile.dates == 1.0
        and not (is_named_otherwise and vocabulary.score(profile.name, "occurred_at").score < ENOUGH)
    )


def _months_only(profiles: Iterable[Profile]) -> list[tuple[Profile, str]]:
    """Returns the columns whose cells are months of a year, each with the strptime format of its cells."""
    return [(profile, pattern) for profile in profiles if (pattern := _pattern(profile)) is not None]


def _month_lines(profile: Profile, pattern: str) -> list[str]:
    """Returns the lines of a mapping that take the first day of the month for the date."""
    return [*choices("occurred_at", [profile]), f'# date_format = "{pattern}"  # the first day of the month']


def _pattern(profile: Profile) -> str | None:
    def fits(pattern: str) -> bool:
        return profile.share(lambda cell: dates.parse_format(cell, pattern) is not None) >= NEARLY_ALL

    return next(filter(fits, (*MONTHS_IN_NUMBERS, *MONTHS_IN_WORDS)), None) if profile.cells else None
