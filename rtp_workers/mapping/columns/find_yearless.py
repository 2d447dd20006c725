"""Finds the column with dates without a year, and asks for their year, which only the mapping can give."""

from __future__ import annotations

from rtp_workers.mapping.cells import yearless
from rtp_workers.mapping.columns.findings import GOOD_NAME, Candidate, Findings
from rtp_workers.mapping.columns.profile import MOST, Profile

YEAR_LINES = (
    "# year = 2024  # the year of every row",
    '# year_from = "12/2023"  # or the month that the file begins in, where it crosses New Year',
)


def find_yearless(found: Findings) -> Candidate | None:
    """Returns the column whose name means a date and whose cells are dates without a year."""
    candidates = found.candidates("occurred_at", lambda profile: float(_is_yearless(profile)), least=GOOD_NAME)
    return candidates[0] if candidates else None


def find_named_months(found: Findings) -> Profile | None:
    """Returns the first column of dates without a year that name their month: ``01/DIC``. They are nothing else."""
    return next((one for one in found.free() if one.filled >= MOST and one.share(yearless.names_month) >= MOST), None)


def ask_for_year(found: Findings) -> None:
    """Asks for the year of dates without one. (A format in the mapping was checked when the mapping was read.)"""
    use = found.uses.get("occurred_at") or found.uses.get("date")
    if use is None or found.section.date_format is not None or len(use.columns) != 1:
        return
    profile = found.profile(use.columns[0])
    if not _is_yearless(profile):
        return
    found.yearless = True
    if found.section.year is None and found.section.year_from is None:
        examples = ", ".join(repr(cell) for cell in list(dict.fromkeys(profile.cells))[:2])
        found.ask(
            "occurred_at", f"the dates of {profile.name} have no year (e.g. {examples})", *YEAR_LINES, kind="year"
        )


def _is_yearless(profile: Profile) -> bool:
    return profile.epoch is None and profile.share(yearless.is_yearless) >= MOST
