"""Asks about a column that only marks the rows of one side, such as ``is_income``."""

from __future__ import annotations

from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.findings import ENOUGH, Findings
from rtp_workers.mapping.columns.profile import Profile
from rtp_workers.mapping.toml_text import quoted

SIDES = ("debit", "credit")
SET = frozenset({"1", "1.0", "on", "x", "y", "yes", "t", "true", "si", "s", "ja", "j", "oui", "o", "sim", "v", "✓"})
NOT_SET = frozenset({"0", "0.0", "off", "n", "no", "f", "false", "nein", "non", "nao", "não"})


def ask_about_flag(found: Findings) -> bool:
    """Asks if the amounts have no sign and a flag says which of them are on one side."""
    for profile in found.free():
        sides = [side for side in SIDES if vocabulary.score(profile.name, side).score >= ENOUGH]
        if len(sides) != 1 or not _is_flag(profile):
            continue
        other = SIDES[1 - SIDES.index(sides[0])]
        marked = sorted(cell for cell in profile.distinct if cell.lower() in SET)
        rest = sorted({cell for cell in profile.column if cell.lower() not in SET})
        found.ask(
            "amount",
            f"the amounts have no sign; {profile.name} seems to mark those that are {sides[0]}s",
            f"columns.direction = {quoted([profile.name])}",
            f"{sides[0]}_words = {_list_of(marked)}",
            f"{other}_words = {_list_of(rest)}",
            '# sign = "as_is"  # keep the amounts as they are',
        )
        return True
    return False


def _list_of(words: list[str]) -> str:
    return f"[{', '.join(quoted([word]) for word in words)}]"


def _is_flag(profile: Profile) -> bool:
    cells = {cell.lower() for cell in profile.column}
    return bool(cells & SET) and bool(cells - SET) and cells <= SET | NOT_SET | {""}
