"""Decides which column holds the time of day, if the dates have none."""

from __future__ import annotations

import re

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.findings import BY_VALUES, MARGIN, Candidate, Findings
from rtp_workers.mapping.columns.profile import HALF, MOST, Profile
from rtp_workers.mapping.plan import ColumnUse

HOURS, MINUTES = 24, 60
DIGITS = re.compile(r"[0-9]{1,6}(?:\.0+)?")
STEM = 5  # letters in which two forms of a word agree


def add_clock(found: Findings, date_column: Profile) -> None:
    """Adds the column that holds only the time of day, if there is one."""
    clocks = found.candidates("time", lambda profile: 1.0 if profile.clocks >= MOST and profile.dates < HALF else 0.0)
    if not clocks:
        clocks = _nameless_clock(found)
    clocks = _own_clocks(clocks, date_column)
    if clocks and "time" not in found.section.columns:
        clock = clocks[0]
        found.uses.pop("occurred_at", None)
        before = found.uses.pop("date", None) or ColumnUse("date", (date_column.name,), clock.score, clock.why)
        found.take("date", [found.profile(before.columns[0])], before.confidence, "name and values")
        found.take("time", [clock.profile], clock.score, clock.why)


def decide_clock_digits(found: Findings) -> None:
    """Decides what a bare number in the column of the time means: 5 is five o'clock if no number is more than 23."""
    if "time" not in found.uses:
        return
    cells = found.profile(found.uses["time"].columns[0]).cells
    numbers = [cell.split(".")[0] for cell in cells if DIGITS.fullmatch(cell)]
    if not numbers or len(numbers) < len(cells):
        return
    if all(int(number) < HOURS for number in numbers):
        found.rules["clock_digits"] = "HH"
    elif all(int(number) < HOURS * 100 and int(number) % 100 < MINUTES for number in numbers):
        found.rules["clock_digits"] = "HHMM"


def _own_clocks(clocks: list[Candidate], date_column: Profile) -> list[Candidate]:
    """Returns the columns of times that belong to the dates, if there are several: those of most words in common.

    A time that is the same in every row is rather that of the export.
    """
    varying = [clock for clock in clocks if len(clock.profile.distinct) > 1] or clocks
    best = [clock for clock in varying if varying[0].score - clock.score < MARGIN]
    if len(best) < 2:
        return varying
    words = {word[:STEM] for word in normalise(date_column.name).split()}
    shared = [len(words & {word[:STEM] for word in normalise(clock.profile.name).split()}) for clock in best]
    closest = [clock for clock, count in zip(best, shared, strict=True) if count == max(shared)]
    return closest if len(closest) == 1 or max(shared) == 0 else []


def _nameless_clock(found: Findings) -> list[Candidate]:
    """Returns the only column with times of day in a file without column names."""
    if any(not profile.name.startswith("column ") for profile in found.profiles):
        return []
    clocks = [profile for profile in found.free() if profile.clocks >= MOST and profile.numbers < HALF]
    name = vocabulary.NameScore(BY_VALUES, False, "values", frozenset())
    return [Candidate(clocks[0], BY_VALUES, name)] if len(clocks) == 1 else []
