"""Takes a dash or another sign for nothing as an empty cell, as the conversion of rows does."""

from __future__ import annotations

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.texts import is_nothing
from rtp_workers.mapping.cells.words import SIGNS
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.profile import HALF, Profile

SIGN_CELLS = frozenset(SIGNS)


def without_placeholders(profile: Profile) -> Profile:
    """Returns the column with empty cells instead of ``-``, ``NULL`` and the like.

    A column that may show the direction of the amounts keeps them: a dash is a minus there. So does a column of dates:
    another one may have a date in every row.
    """
    placeholders = frozenset(filter(is_nothing, profile.distinct))
    if not placeholders or _may_show_signs(profile, profile.distinct - placeholders):
        return profile
    without = Profile(profile.name, profile.index, ["" if cell in placeholders else cell for cell in profile.column])
    return profile if without.dates >= HALF else without


def _may_show_signs(profile: Profile, others: frozenset[str]) -> bool:
    if vocabulary.best_role(profile.name)[0] == "direction":
        return True
    return others <= SIGN_CELLS and (bool(others) or not normalise(profile.name) or profile.name.startswith("column "))
