"""Finds the amount of files in which one column alone can be money, although its name does not say amount."""

from __future__ import annotations

import re

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import word_list
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.find_currency import header_currency
from rtp_workers.mapping.columns.find_quantity import value_of
from rtp_workers.mapping.columns.findings import Findings
from rtp_workers.mapping.columns.profile import HALF, MOST, NEARLY_ALL, Profile

PROFIT_WORDS = frozenset({"profit", "pnl", "gewinn", "guv", "lucro", "utile", "ganancia", "beneficio", "winst", "zysk"})
CLOSED_WORDS = frozenset(
    {"close", "closed", "closing", "exit", "realized", "realised", "verkauft", "verkaufszeitpunkt"}
)
CLOSED_WORDS |= {"verkaufsdatum", "verkaufspreis", "verkaufskurs", "schlusskurs", "salida", "sortie", "uscita"}
FEES = frozenset({"fee", "fees", "gebuhr", "frais", "tarifa", "cuota", "taxa", "ucret", "biaya", "phi", "費用", "费用"})
FEES |= {"miktar"}  # an amount or a quantity
REFUND_WORDS = frozenset({"refund", "refunded", "refunds"})
FULL = 0.95  # every row has an amount, except stray ones
RATE = re.compile(r"[.,][0-9]{3,}$")
CENTS_AT_END = re.compile(r"[.,][0-9]{2}\D*$")
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


def cents_next_to_a_currency(found: Findings, numeric: list[Profile]) -> Profile | None:
    """Returns the only numbers with cents of a file without names, if a column of currencies is next to them."""
    with_cents = [one for one in numeric if has_cents(one)]
    if len(with_cents) != 1 or with_cents[0].filled < FULL or not is_nameless(found):
        return None
    at = with_cents[0].index
    codes = [one for one in found.profiles if one.currencies == 1.0 and one.filled >= FULL]
    return with_cents[0] if any(abs(one.index - at) == 1 for one in codes) else None


def named_by_a_currency(found: Findings, numeric: list[Profile]) -> Profile | None:
    """Returns the only column of numbers, if its name is the code of a currency: ``UAH``. Rates have more decimals.

    Whole numbers next to cents are codes of something.
    """
    codes = [one for one in numeric if _is_code(one.name.strip()) and _is_filled(one)]
    others = [one for one in numeric if one not in codes and len(one.distinct) > 1]
    if codes and has_cents(codes[0]):
        others = [one for one in others if one.whole_numbers < 1.0]
    if len(codes) != 1 or any(list(one.cells) != list(codes[0].cells) for one in others):
        return None
    if codes[0].share(lambda cell: RATE.search(cell) is not None) > 0:
        return None
    texts = any(one.letters >= MOST and _is_filled(one) and one.dates < HALF for one in found.free())
    return codes[0] if texts else None


def _is_filled(profile: Profile) -> bool:
    """True if every row has a number, except stray ones, or a second line of the header."""
    return profile.filled >= FULL or profile.rows - len(profile.cells) == 1


def _is_code(name: str) -> bool:
    """True for UAH and usd, but not for all, top and try."""
    return name in word_list("currencies") or header_currency(name) == name.upper()


def next_to_their_name(found: Findings) -> list[Profile]:
    """Returns numbers without a name next to a currency whose name is that of an amount, as in ``Change,,Balance,``."""
    pairs = zip(found.profiles, found.profiles[1:], strict=False)
    return [
        numbers
        for code, numbers in pairs
        if code.currencies == 1.0
        and numbers.name.startswith("column ")
        and numbers.numbers >= NEARLY_ALL
        and vocabulary.best_role(code.name)[0] == "amount"
    ]


def only_fee(found: Findings) -> Profile | None:
    """Returns the only numbers of a file, if they are called a fee or a quantity: it is what was paid. A tax is not."""
    numbers = [one for one in found.profiles if one.cells and one.numbers >= NEARLY_ALL and one.dates < MOST]
    varied = [one for one in numbers if len(one.distinct) > 1 and one.nonzero]
    return varied[0] if len(varied) == 1 and set(normalise(varied[0].name).split()) & FEES else None


def is_nameless(found: Findings) -> bool:
    """True for a file without a header."""
    return all(profile.name.startswith("column ") for profile in found.profiles)


def has_cents(profile: Profile) -> bool:
    """True if most numbers end in two digits after a mark."""
    return profile.share(lambda cell: CENTS_AT_END.search(cell) is not None) >= MOST
