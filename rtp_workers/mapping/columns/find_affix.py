"""Decides whether a column's cells are amounts with an unknown text around each number."""

from __future__ import annotations

from dataclasses import replace

from rtp_workers.mapping.cells.affixes import Affix, common_affix
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.findings import GOOD_NAME
from rtp_workers.mapping.columns.profile import HALF, NEARLY_ALL, Profile

LONGEST_SIGN = 4  # letters: a longer word is rather a part of a text, such as an e-mail address
MONEY = frozenset({"amount", "debit", "credit", "balance", "fee", "unit_price", "other_amount"})


def without_affix(profile: Profile, given: Affix | None) -> Profile:
    """Returns the column without the text around its numbers, or unchanged if there is no such text.

    The name must say that the column is money, or its numbers must be decimals: ``R1001`` may be an id.

    Args:
        given: what the mapping says, or None.
    """
    if not profile.cells or profile.numbers >= HALF or profile.dates >= HALF:
        return profile
    affix = given or common_affix(profile.some)
    if affix is None:
        return profile
    bare = replace(profile, column=[affix.stripped(cell) for cell in profile.column], affix=affix)
    if bare.numbers < NEARLY_ALL or list(bare.column) == list(profile.column):
        return profile
    role, best = vocabulary.best_role(profile.name)
    is_money = role in MONEY and best.score >= GOOD_NAME
    is_sign = affix.currency is not None or sum(map(str.isalpha, affix.text)) <= LONGEST_SIGN
    return bare if given is not None or is_money or (bare.is_decimal and is_sign) else profile
