"""Finds the amount of files in which one column alone can be money, although its name does not say amount."""

from __future__ import annotations

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.find_quantity import value_of
from rtp_workers.mapping.columns.findings import Findings
from rtp_workers.mapping.columns.profile import HALF, MOST, NEARLY_ALL, Profile

PROFIT_WORDS = frozenset({"profit", "pnl", "gewinn", "guv", "lucro", "utile", "ganancia", "beneficio", "winst", "zysk"})
CLOSED_WORDS = frozenset({"close", "closed", "closing", "exit", "realized", "realised"})
REFUND_WORDS = frozenset({"refund", "refunded", "refunds"})
BEST_RATING = 10  # a rating has decimals, too, but is never more than this


def profit_of_closed_positions(found: Findings) -> Profile | None:
    """Returns the profit of positions that were closed: next to prices and pieces, the only numbers with both signs."""
    names = [set(normalise(profile.name).split()) for profile in found.profiles]
    if not any(name & CLOSED_WORDS for name in names):
        return None
    signed = [one for one in found.free() if _is_number(one) and one.has_both_signs]
    if len(signed) != 1 or not signed[0].is_decimal or not set(normalise(signed[0].name).split()) & PROFIT_WORDS:
        return None
    return signed[0]


def only_refunds(found: Findings) -> Profile | None:
    """Returns the refunded amount if it is the only column of numbers, and a currency is next to it.

    In other files it stands next to the amount that was paid, and is not the amount itself.
    """
    numbers = [one for one in found.free() if _is_number(one)]
    if len(numbers) != 1 or not set(normalise(numbers[0].name).split()) & REFUND_WORDS:
        return None
    money = vocabulary.roles()["amount"].by_joined.keys() & set(normalise(numbers[0].name).split())
    coded = any(one.currencies == 1.0 and one.filled == 1.0 for one in found.profiles)
    return numbers[0] if money and coded else None


def is_only_decimal(found: Findings, profile: Profile) -> bool:
    """True for the only decimals of a file without names that has a date and a text in each row, and no ratings."""
    if not all(one.name.startswith("column ") for one in found.profiles) or "occurred_at" not in found.uses:
        return False
    texts = any(one.letters >= MOST and one.filled >= MOST and one.dates < HALF for one in found.free())
    return texts and any((value_of(cell) or 0) > BEST_RATING for cell in profile.some)


def _is_number(profile: Profile) -> bool:
    return bool(profile.cells) and profile.numbers >= NEARLY_ALL and profile.dates < MOST
