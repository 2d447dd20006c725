"""Finds the columns that change in the next export of the same rows. Derived ids must not contain them."""

from __future__ import annotations

import re
from itertools import pairwise

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.balance_walk import walks_through
from rtp_workers.mapping.columns.findings import ENOUGH, GOOD_NAME, Findings
from rtp_workers.mapping.columns.profile import NEARLY_ALL, Profile

# Roles whose columns describe what happened. An id needs them, whatever else they look like.
LASTING = frozenset({"occurred_at", "date", "time", "year", "month", "day", "step", "amount", "debit", "credit"})
SOME_ROWS = 3
# Words in names of columns that say when the row was written, changed or exported, not when it happened.
STAMP_WORDS = frozenset(
    {"export", "exported", "exportdatum", "exportzeit", "exportado", "exporte", "download", "downloaded", "generated"}
    | {
        "updated",
        "update",
        "modified",
        "whenmodified",
        "changed",
        "geandert",
        "aktualisiert",
        "actualizado",
        "modifie",
        "modificato",
    }
    | {"synced", "sync", "imported", "import", "printed", "retrieved", "report", "abgerufen", "erstellt", "stand"}
)


def find_volatile(found: Findings) -> tuple[str, ...]:
    """Returns the columns with running balances, statuses, export times and row numbers, in the file's order."""
    named = any(not profile.name.startswith("column ") for profile in found.profiles)
    lasting = {name for role, use in found.uses.items() if role in LASTING for name in use.columns}
    return tuple(
        profile.name
        for profile in found.profiles
        if profile.name not in lasting
        and (
            _is_balance(found, profile)
            or _is_status(found, profile)
            or (found.is_remembered and normalise(profile.name).endswith(" status"))
            or _is_stamp(profile)
            or (found.is_remembered and "refunded" in normalise(profile.name).split())  # a refund may come later
            or is_row_number(profile)
            or (found.is_remembered and named and _is_index(profile))
        )
    )


def _is_balance(found: Findings, profile: Profile) -> bool:
    if profile.cells and profile.numbers < NEARLY_ALL:
        return False
    role, best = vocabulary.best_role(profile.name)
    if role == "balance" and best.score >= ENOUGH:
        return True
    return best.score < GOOD_NAME and walks_through(profile, *(found.amounts_of_uses()))


def _is_status(found: Findings, profile: Profile) -> bool:
    use = found.uses.get("status")
    if use is not None and profile.name in use.columns:
        return True
    return (
        vocabulary.best_role(profile.name)[0] == "status"
        and vocabulary.score(profile.name, "status").score >= GOOD_NAME
    )


def is_stamp_name(name: str) -> bool:
    """True for names that say when a row was written, changed or exported."""
    return bool(set(normalise(name).split()) & STAMP_WORDS)


def _is_stamp(profile: Profile) -> bool:
    return is_stamp_name(profile.name) and bool(profile.cells) and (profile.dates >= NEARLY_ALL or bool(profile.epoch))


def is_row_number(profile: Profile) -> bool:
    """True for a column that numbers the file's rows (1, 2, 3 or 3, 2, 1) and whose name means nothing more."""
    if profile.rows < SOME_ROWS or profile.filled < 1.0 or not all(map(_is_whole, profile.column)):
        return False
    numbers = [int(cell.split(".")[0]) for cell in profile.column]
    steps = {after - before for before, after in pairwise(numbers)}
    nameless = profile.name.startswith("column ") or not normalise(profile.name)
    counts = nameless or vocabulary.best_role(profile.name)[0] == "index"
    return counts and min(numbers) <= 1 and (steps == {1} or steps == {-1})


def _is_index(profile: Profile) -> bool:
    """True for the number that a program writes in front of each row, in a first column that alone has no name.

    After some rows were left out, or tables were joined, the numbers have gaps, or start again.
    """
    is_first = profile.name == "column 1" and profile.rows >= SOME_ROWS and profile.filled == 1.0
    if not is_first or not all(map(_is_whole, profile.column)):
        return False
    numbers = [int(cell.split(".")[0]) for cell in profile.column]
    starts = [after for before, after in pairwise(numbers) if after <= before]
    falls = all(after < before for before, after in pairwise(numbers))
    return falls or (set(starts) <= {0, 1} and len(starts) * SOME_ROWS < len(numbers))


def _is_whole(cell: str) -> bool:
    return re.fullmatch(r"\d{1,9}(?:\.0)?", cell) is not None
