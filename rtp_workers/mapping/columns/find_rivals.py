"""Asks about an amount that another column of numbers may be as well.

A column is the amount without a question only if something says so, and nothing else may be it. A name that the
vocabulary knows word for word says so; so do relations between the values. A part of a name, or a name that means a
price as often as an amount, does not.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations

from rtp_workers.mapping.cells import amounts
from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.balance_walk import walks_through
from rtp_workers.mapping.columns.find_id import ID_WORDS
from rtp_workers.mapping.columns.find_quantity import is_product, value_of
from rtp_workers.mapping.columns.findings import (
    BY_VALUES,
    ENOUGH,
    GOOD_NAME,
    MOST_CHOICES,
    STRONG_NAME,
    Findings,
    choices,
)
from rtp_workers.mapping.columns.gross_and_net import is_sum_with_tax, is_total, is_without_tax, paid_after_discount
from rtp_workers.mapping.columns.profile import HALF, MOST, NEARLY_ALL, Profile
from rtp_workers.mapping.columns.words_and_signs import sign_of

LOOKED_AT_ROWS = 200
FEWEST_SHARES = 3
SELDOM = 0.3  # a column filled in fewer rows belongs to something that only some rows have
MOST_FACTORS = 8
FEWEST_LACKING = 2  # rows in which only a rival has a number
# Words for what is measured or counted, and is no money.
MEASURES = frozenset(
    {"kwh", "mwh", "kw", "kg", "kgs", "gram", "grams", "km", "kms", "miles", "mi", "liters", "litres", "litros"}
    | {"liter"}
    | {"minutes", "mins", "hours", "hrs", "days", "nights", "adults", "adultos", "children", "ninos", "guests", "rooms"}
    | {"phone", "telefono", "telefone", "telefon", "mobile", "age", "rating", "score", "latitude", "longitude", "lat"}
    | {"coordinate", "coordinates", "koordinat", "koordinaten", "coordenada", "koordinate"}
    | {"lng", "lon", "temperature", "weight", "distance", "duration", "mileage", "odometer", "zip", "postcode"}
)
ROLES = ("amount", "debit", "credit")
NUMBER_ENDS = ("nummer", "number", "numero", "numer")  # in one word, as in organisasjonsnummer
WORDS = frozenset({"currency", "merchant", "category", "status", "payment_method", "country", "direction"})


def ask_about_rivals(found: Findings) -> None:
    """Asks if a column without a known meaning may be the amount instead of the one that was found."""
    roles = [role for role in ROLES if role in found.uses]
    columns = [found.profile(found.uses[role].columns[0]) for role in roles]
    if found.is_asked("amount") or "quantity" in found.uses or all(map(_is_sure, roles, columns)):
        return
    if all(found.uses[role].confidence == BY_VALUES for role in roles) or _is_borne_out(found, columns):
        return
    rivals = [profile for profile in found.free() if _may_be_it(found, profile, columns)]
    rivals = [one for one in rivals if paid_after_discount(found, [columns[0], one]) is not columns[0]]
    if rivals and not _are_shares(rivals, columns):
        listed = [*columns, *rivals][:MOST_CHOICES]
        names = ", ".join(profile.name for profile in listed)
        question = f"several columns may be the amount, and no name settles it: {names}"
        found.ask("amount", question, *choices("amount", listed))


def _is_sure(role: str, profile: Profile) -> bool:
    name = vocabulary.score(profile.name, role)
    return name.exact and name.score >= STRONG_NAME


def _is_borne_out(found: Findings, columns: list[Profile]) -> bool:
    """True if the values prove the amount: a column is its running balance, or it is made of two others."""
    others = [one for one in found.free() if one.cells and one.numbers >= NEARLY_ALL and one.dates < MOST]
    if any(walks_through(one, *found.amounts_of_uses()) for one in others):
        return True
    if len(columns) == 1 and (is_sum_with_tax(found, columns[0]) or is_total(found, columns[0])):
        return True
    factors = [one for one in others if vocabulary.best_role(one.name)[0] not in vocabulary.DECOYS][:MOST_FACTORS]
    return len(columns) == 1 and any(
        len(one.distinct) > 1 and len(other.distinct) > 1 and is_product(columns[0], one, other, in_hundredths=True)
        for one, other in combinations(factors, 2)
    )


def _may_be_it(found: Findings, profile: Profile, columns: list[Profile]) -> bool:
    """True for numbers that nothing explains: no known name, no equal values, no relation to the amount."""
    if not profile.cells or profile.numbers < NEARLY_ALL or profile.dates >= MOST or profile.filled < SELDOM:
        return False
    if len(profile.distinct) < 2 or not profile.nonzero or is_measure(profile) or _counts_rows(profile):
        return False
    if _is_known_otherwise(profile, columns) or is_without_tax(profile, columns):
        return False
    if _is_whole(profile) and (_is_number_of(profile) or not any(map(_is_whole, columns))):
        return _speaks_of_money(profile)  # else it is a number of something, or a code
    # Of two columns, the one with both signs is the amount: prices, fees and pieces have no sign.
    if any(one.signed and not one.all_negative for one in columns) and not profile.signed:
        return False
    return not any(_says_the_same(profile, one) for one in columns) and not _belongs_to_a_side(profile, columns)


def _counts_rows(profile: Profile) -> bool:
    """True for a first column without a name that counts 0, 1, 2 or 1, 2, 3."""
    numbers = [int(cell) for cell in profile.cells if cell.isdecimal()]
    counts = numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))
    return profile.index == 0 and profile.name == "column 1" and len(numbers) == profile.rows and counts


def _belongs_to_a_side(profile: Profile, columns: list[Profile]) -> bool:
    """True if the amounts are on two sides, and the numbers only in rows of one of them: the others need an amount."""
    if len(columns) != 2:
        return False
    filled = [at for at, cell in enumerate(profile.column) if cell]
    return any(all(side.column[at] for at in filled) for side in columns)


def _are_shares(rivals: list[Profile], columns: list[Profile]) -> bool:
    """True if several columns share the amount, as the people of a split expense do: none is ever more than it is.

    Two are enough if they always make up for each other.
    """
    named = any(vocabulary.score(one.name, role).score >= GOOD_NAME for one in rivals for role in ROLES)
    if named or len(columns) != 1 or len(rivals) < FEWEST_SHARES - 1:
        return False
    rows = zip(columns[0].column[:LOOKED_AT_ROWS], *(one.column for one in rivals), strict=False)
    parts = [[_signed(cell) for cell in row] for row in rows if row[0]]
    even = all(not sum(shares) for _, *shares in parts)
    fitting = sum(max(map(abs, shares)) <= abs(amount) for amount, *shares in parts)
    return fitting >= len(parts) * MOST and (even or len(rivals) >= FEWEST_SHARES)


def _signed(cell: str) -> Decimal:
    return (value_of(cell) or Decimal(0)) * sign_of(cell)


def _is_whole(profile: Profile) -> bool:
    return profile.whole_numbers >= MOST


def is_measure(profile: Profile) -> bool:
    """True for names of what is measured or counted, and is no money."""
    return bool(set(normalise(profile.name).split()) & MEASURES)


def _speaks_of_money(profile: Profile) -> bool:
    return any(vocabulary.score(profile.name, role).score > 0 for role in ROLES)


def _is_number_of(profile: Profile) -> bool:
    words = normalise(profile.name).split()
    return bool(set(words) & ID_WORDS) or any(word.endswith(NUMBER_ENDS) for word in words)


def _is_known_otherwise(profile: Profile, columns: list[Profile]) -> bool:
    """True if the vocabulary knows another meaning, or knows that it is the amount less often than the chosen one."""
    role, best = vocabulary.best_role(profile.name)
    if vocabulary.score(profile.name, "quantity").score >= ENOUGH:
        return True
    if role not in ROLES:
        # Decimals are no texts and no codes, whatever the name says.
        return bool(role) and best.score >= ENOUGH and not (role in WORDS and profile.is_decimal)
    chosen = [vocabulary.best_role(one.name)[1] for one in columns]
    return best.exact and all(name.exact and name.score > best.score for name in chosen)


def _says_the_same(one: Profile, other: Profile) -> bool:
    """True if the numbers of two columns are equal, whatever stands around them, and none is missing in the second."""
    pairs = [
        (_digits(cell), _digits(also)) for cell, also in zip(one.column, other.column, strict=True) if cell and also
    ]
    lacking = sum(not also.strip("0.,") and bool(cell.strip("0.,")) for cell, also in pairs)
    same = sum(cell == also for cell, also in pairs) >= len(pairs) * MOST
    return len(pairs) > HALF and same and lacking < FEWEST_LACKING


def _digits(cell: str) -> str:
    part = amounts.take_apart(cell)
    number = part.number if part is not None else ""
    return number.rstrip("0").rstrip(".,") if "." in number or "," in number else number
