"""Decides which columns hold the amount, and how their numbers are read."""

from __future__ import annotations

import re
from itertools import combinations

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.amount_choices import ask_for_amount, quantities
from rtp_workers.mapping.columns.balance_walk import balance_walk, is_balance_of
from rtp_workers.mapping.columns.find_currency import find_currency
from rtp_workers.mapping.columns.find_number_format import find_number_format
from rtp_workers.mapping.columns.find_quantity import PRICE_WORDS, find_quantity, is_product, total_with_fee
from rtp_workers.mapping.columns.find_rivals import ask_about_rivals
from rtp_workers.mapping.columns.find_sides import (
    is_number,
    lines_of_sides,
    lone_side,
    may_be_debt,
    named_pair,
    other_side_of,
    take_pair,
    take_with_partner,
)
from rtp_workers.mapping.columns.find_sign import find_sign
from rtp_workers.mapping.columns.findings import (
    BY_VALUES,
    ENOUGH,
    GOOD_NAME,
    GUESS,
    MARGIN,
    STRONG_NAME,
    Candidate,
    Findings,
    choices,
)
from rtp_workers.mapping.columns.gross_and_net import is_total, paid_after_discount, take_sum_with_tax, with_tax
from rtp_workers.mapping.columns.lone_money import (
    cents_next_to_a_currency,
    has_cents,
    is_nameless,
    is_only_decimal,
    named_by_a_currency,
    next_to_their_name,
    only_fee,
    only_refunds,
    profit_of_closed_positions,
)
from rtp_workers.mapping.columns.profile import HALF, MOST, NEARLY_ALL, Profile
from rtp_workers.mapping.columns.words_and_signs import sign_of
from rtp_workers.mapping.toml_text import quoted

SIDES = ("debit", "credit")
# Shares of filled cells.
FULL = 0.95  # every row has an amount, except stray ones
OFTEN = 0.8  # more than one of two sides would have
MOSTLY = 0.7  # filled in most rows, or whole numbers in most cells; with less, a column has gaps or decimals
LEAST_FILLED = 0.3  # with fewer amounts, a column belongs to something that only some rows have
MOST_FACTORS = 8
SOME_ROWS = 5
COUNTS = frozenset({"cantidad", "jumlah"})
PRODUCTS = frozenset({"product", "producto", "productos", "articulo", "sku", "barang", "produk", "item"})
CENTS = re.compile(r"[0-9]{2}")
FRACTION = re.compile(r"[.,][0-9]{1,2}$")


def find_amount(found: Findings) -> None:
    """Decides the amount's columns, sign, marks and unit. Asks if they cannot be known."""
    given = _given(found)
    if not given:
        _choose(found)
    if not found.uses.keys() & {"amount", *SIDES}:
        return
    if "amount" in found.uses:
        find_quantity(found)
        take_sum_with_tax(found)
    columns = [
        found.profile(name) for role in ("amount", *SIDES) if role in found.uses for name in found.uses[role].columns
    ]
    if not given:
        ask_about_rivals(found)
    _ask_about_split_cells(found, columns)
    find_sign(found)
    find_currency(found, columns)
    find_number_format(found, columns)


def _ask_about_split_cells(found: Findings, columns: list[Profile]) -> None:
    """Asks if a decimal comma without quotes has split the amounts: ``-100,50`` in a file separated by commas.

    Each row then has one cell more than the header, and two digits follow each whole number.
    """
    last = found.profiles[-1]
    if found.section.columns.keys() & {"amount", "debit", "credit"} or last.name != f"column {last.index + 1}":
        return
    for amount in columns:
        after = found.profiles[amount.index + 1 : amount.index + 2]
        if not after or amount.share(lambda cell: FRACTION.search(cell) is not None) > 0 or is_nameless(found):
            continue
        if after[0].filled == amount.filled and after[0].share(lambda cell: CENTS.fullmatch(cell) is not None) == 1.0:
            found.ask(
                "amount",
                f"a decimal comma may have split the cells of {amount.name}: {after[0].some[0]} comes after "
                f"{amount.some[0]}, and each row has a cell without a name. Put the amounts into quotes in the file",
                f"# columns.amount = {quoted([amount.name])}  # these are whole numbers",
            )


def _given(found: Findings) -> bool:
    roles = [role for role in ("amount", "debit", "credit") if found.take_given(role)]
    return bool(roles)


def _choose(found: Findings) -> None:
    pair = named_pair(found)
    named = [
        one
        for one in found.candidates("amount", is_number)
        if one.profile.filled > LEAST_FILLED and not _is_per_piece(one)
    ]
    named = _without_counts(found, [one for one in named if one.profile.nonzero] or named) or _sparse_amount(found)
    side = None if pair else lone_side(found)
    known = bool(pair) or side is not None or any(one.name.exact for one in named)
    if not known and (lines := _lines_of_named_sides(found)):
        found.ask("amount", "two columns are named after the sides of an account, but many rows fill both", *lines)
    elif not known and (profit := profit_of_closed_positions(found)) is not None:
        found.take("amount", [profit], BY_VALUES, "values (the only numbers with both signs)")
    elif side is not None and (not named or named[0].score < GOOD_NAME):
        if not take_with_partner(found, side[1], side[0]):
            _take_lone_side(found, *side)
    elif named and not (pair and (not named[0].profile.signed or _is_known_better(pair, named[0]))):
        _take_named(found, named)
    elif pair:
        take_pair(found, *pair)
    elif found.uses.get("amount") is None:
        _unit_price_or_values(found)


def _without_counts(found: Findings, candidates: list[Candidate]) -> list[Candidate]:
    """Leaves out names that mean an amount or pieces, such as Cantidad, if another one means money, or their price."""
    others = [one for one in candidates if not set(normalise(one.profile.name).split()) & COUNTS]
    money = [one for one in others if one.name.exact]
    known = any(one.score >= GOOD_NAME or set(normalise(one.profile.name).split()) & PRICE_WORDS for one in money)
    if not others and _sells(found) and any(_is_money(found, one) for one in found.free() if _may_be_amount(one)):
        return []  # the pieces of a product, next to money with an unknown name
    return others if known or found.candidates("unit_price", is_number) else candidates


def _sells(found: Findings) -> bool:
    return any(set(normalise(one.name).split()) & PRODUCTS for one in found.profiles)


def _sparse_amount(found: Findings) -> list[Candidate]:
    """Returns the column that is called amount, if few rows have one: the others are refused, and seen."""
    named = [one for one in found.candidates("amount", is_number) if one.profile.nonzero]
    return [one for one in named if one.name.exact and one.name.score >= STRONG_NAME][:1]


def _is_known_better(pair: tuple[Candidate, Candidate], amount: Candidate) -> bool:
    """True if both sides are known word for word, and the amount only in part: ``Individual Amount``."""
    return not amount.name.exact and all(side.name.exact for side in pair)


def _is_per_piece(candidate: Candidate) -> bool:
    """True for names that are an amount only in part, and rather pieces or a price: ``Price Each``, ``sales qty``."""
    price, pieces = (vocabulary.score(candidate.profile.name, role) for role in ("unit_price", "quantity"))
    return not candidate.name.exact and (price.exact or max(price.score, pieces.score) > candidate.name.score)


def _take_lone_side(found: Findings, role: str, candidate: Candidate) -> None:
    """Takes the only side of a statement, unless it is filled in very few rows."""
    if candidate.profile.filled > HALF:
        found.take(role, [candidate.profile], candidate.score, candidate.why)
    else:
        _unit_price_or_values(found)


def _take_named(found: Findings, named: list[Candidate]) -> None:
    named = with_tax(_without_balances(_without_constants(named)))
    best = named[0]
    rivals = [
        other
        for other in named[1:]
        if best.score - other.score < MARGIN and list(other.profile.cells) != list(best.profile.cells)
    ]
    if rivals:
        # A tie: takes the one that every row fills if the others are filled only for foreign currencies.
        full = [candidate for candidate in (best, *rivals) if candidate.profile.filled >= FULL]
        sparse = [candidate for candidate in (best, *rivals) if candidate.profile.filled < MOSTLY]
        if len(full) == 1 and len(sparse) == len(rivals):
            best, rivals = full[0], []
        elif (paid := paid_after_discount(found, [one.profile for one in (best, *rivals)])) is not None:
            best, rivals = next(one for one in (best, *rivals) if one.profile is paid), []
        elif len(totals := [one for one in (best, *rivals) if is_total(found, one.profile)]) == 1:
            best, rivals = totals[0], []
        elif (products := _products(found, [best, *rivals])) != []:
            best, rivals = products[0], products[1:]
        elif (total := total_with_fee(found, [best, *rivals])) is not None:
            best, rivals = total, []
    if len(rivals) == 1 and _take_turns(best.profile, rivals[0].profile):
        _ask_which_is_out(found, best.profile, rivals[0].profile)
    elif rivals:
        names = [candidate.profile.name for candidate in (best, *rivals)]
        lines = choices("amount", [candidate.profile for candidate in (best, *rivals)])
        found.ask("amount", f"several columns may be the amount: {', '.join(names)}", *lines)
    if rivals or not take_with_partner(found, best, None):
        found.take("amount", [best.profile], best.score, best.why)


def _without_constants(candidates: list[Candidate]) -> list[Candidate]:
    """Leaves out numbers that are the same in every row, such as how many there are, if others vary."""
    varying = [one for one in candidates if len(one.profile.distinct) > 1 or one.profile.rows < SOME_ROWS]
    return varying or candidates


def _without_balances(candidates: list[Candidate]) -> list[Candidate]:
    """Leaves out a column that another one adds up to, row by row: it is a balance, whatever it is called."""
    left = [
        one
        for one in candidates
        if not any(is_balance_of(one.profile, other.profile) for other in candidates if other is not one)
    ]
    return left or candidates


def _products(found: Findings, candidates: list[Candidate]) -> list[Candidate]:
    """Returns the candidates that are the product of two other columns: price times pieces.

    A rate does not count as a factor: an amount times a rate is the same amount in another currency.
    """
    numeric = [one for one in found.free() if one.numbers >= FULL]
    factors = [one for one in numeric if vocabulary.best_role(one.name)[0] not in vocabulary.DECOYS][:MOST_FACTORS]
    pairs = list(combinations(factors, 2))
    return [one for one in candidates if any(_is_product_of(one.profile, *pair) for pair in pairs)]


def _is_product_of(product: Profile, one: Profile, other: Profile) -> bool:
    return product is not one and product is not other and is_product(product, one, other)


def _unit_price_or_values(found: Findings) -> None:
    prices = found.candidates("unit_price", is_number)
    if prices:
        found.take("amount", [prices[0].profile], GUESS, "name and values (a price per unit)")
        return
    numeric = [profile for profile in found.free() if _may_be_amount(profile)]
    full = [profile for profile in numeric if profile.filled > OFTEN and profile.whole_numbers < MOST]
    sparse = [profile for profile in numeric if profile not in full and profile.filled <= OFTEN]
    sides = [profile for profile in found.free() if _names_a_side(profile)]
    gaps = [one for one in full if one.filled < 1.0]  # a side may be filled in nearly every row
    balances = [one for one in found.free() if one.numbers >= NEARLY_ALL and _is_balance(one)]
    walk = balance_walk(full, [*sparse, *gaps, *filter(_is_often_zero, numeric)], balances)
    if (signed_sides := _sides_by_sign(sparse)) is not None:
        for role, profile in zip(SIDES, signed_sides, strict=True):
            found.take(role, [profile], BY_VALUES, "values (one side always has a minus, the other never)")
    elif walk is not None:
        roles = ("amount",) if len(walk) == 1 else SIDES
        if not _ask_about_debt(found, walk):
            with_cents = [one for one in numeric if has_cents(one)]
            _ask_about_other_side(found, walk, [*sparse, *with_cents])
        for role, profile in zip(roles, walk, strict=True):
            found.take(role, [profile], BY_VALUES, "values (another column is the running balance)")
    elif len(headed := next_to_their_name(found)) == 1:
        found.take("amount", headed, BY_VALUES, "values (next to its name, which is above the currency)")
    elif (priced := cents_next_to_a_currency(found, numeric)) is not None:
        found.take("amount", [priced], BY_VALUES, "values (the only numbers with cents, next to a currency)")
    elif (coded := named_by_a_currency(found, numeric)) is not None:
        found.take("amount", [coded], BY_VALUES, "name and values (numbers under the code of a currency)")
    elif _is_only_money(found, full, sparse, sides):
        if (other := other_side_of(found, full[0])) is not None:
            _ask_which_is_out(found, full[0], other)
        found.take("amount", full, BY_VALUES, "values (the only decimal numbers)")
    elif len(signed := [one for one in full or numeric if one.has_both_signs]) == 1 and is_nameless(found):
        _ask_about_other_side(found, tuple(signed), sparse)
        found.take("amount", signed, BY_VALUES, "values (the only numbers with signs)")
    elif len(numeric) == 1 and is_nameless(found) and (_has_only_sides(found) or numeric[0].whole_numbers < MOST):
        found.take("amount", numeric, BY_VALUES, "values (the only numbers, of which some are decimals or have a side)")
    elif (refunds := only_refunds(found)) is not None:
        found.take("amount", [refunds], BY_VALUES, "values (the only numbers next to a currency)")
    elif not numeric and (fee := only_fee(found)) is not None:
        found.take("amount", [fee], BY_VALUES, "values (the only numbers)")
    else:
        ask_for_amount(found, [*full, *sparse, *sides], sparse, numeric)


def _has_only_sides(found: Findings) -> bool:
    """True if every cell of a column names a side, and both sides occur."""
    return any(
        one.directions == 1.0 and one.filled == 1.0 and set(SIDES) <= one.direction_kinds for one in found.free()
    )


def _lines_of_named_sides(found: Findings) -> list[str]:
    """Returns the lines of two sides that are known by their names, although many rows fill both: transfers do."""
    sides = {role: [one for one in found.candidates(role, is_number) if one.name.exact] for role in SIDES}
    if not all(sides.values()):
        return []
    return [f"# columns.{role} = {quoted([some[0].profile.name])}" for role, some in sides.items()]


def _is_only_money(found: Findings, full: list[Profile], sparse: list[Profile], sides: list[Profile]) -> bool:
    """True if one column alone holds decimals, and some of them are not zero."""
    if len(full) != 1 or sparse or sides or not full[0].nonzero:
        return False
    return _is_money(found, full[0]) and not _counts_in_fractions(found)


def _ask_about_debt(found: Findings, walk: tuple[Profile, ...]) -> bool:
    """Asks if the balance rises much more often than it falls: it may be the debt of a card, which purchases raise."""
    if len(walk) != len(SIDES) or not may_be_debt(*walk):
        return False
    _ask_which_is_out(found, walk[1], walk[0])
    return True


def _ask_about_other_side(found: Findings, walk: tuple[Profile, ...], sparse: list[Profile]) -> None:
    """Asks if another column has an amount in just the rows in which the amount is empty or zero: the other side."""
    for other in sparse if len(walk) == 1 else ():
        if other is not walk[0] and _take_turns(walk[0], other):
            _ask_which_is_out(found, walk[0], other)
            return


def _take_turns(one: Profile, other: Profile) -> bool:
    """True if both have amounts, but never in the same row, and few rows have neither."""
    rows = [(bool(sign_of(cell)), bool(sign_of(also))) for cell, also in zip(one.column, other.column, strict=True)]
    neither = rows.count((False, False))
    return (True, True) not in rows and (False, True) in rows and neither < len(rows) * LEAST_FILLED


def _ask_which_is_out(found: Findings, one: Profile, other: Profile) -> None:
    question = f"each row fills either {one.name} or {other.name}; which of the two is money out"
    found.ask("amount", question, *lines_of_sides(one, other), *lines_of_sides(other, one))


def _is_money(found: Findings, profile: Profile) -> bool:
    """True for numbers with a sign, with a currency, or with cents: a rating or a weight has none of them."""
    return profile.signed or profile.affix is not None or has_cents(profile) or is_only_decimal(found, profile)


def _is_often_zero(profile: Profile) -> bool:
    """True for a column that is filled in every row but may still be one side only, with 0 in the other rows."""
    return profile.filled >= MOSTLY and len(profile.nonzero) < len(profile.cells)


def _sides_by_sign(sparse: list[Profile]) -> tuple[Profile, Profile] | None:
    """Returns money out and money in: each row fills one of the two, and only the first column has minus signs."""
    decimals = [profile for profile in sparse if profile.whole_numbers < MOSTLY]
    out = [profile for profile in decimals if profile.all_negative]
    into = [profile for profile in decimals if not profile.signed]
    if len(decimals) != 2 or len(out) != 1 or len(into) != 1:
        return None
    takes_turns = all(bool(one) != bool(other) for one, other in zip(out[0].column, into[0].column, strict=True))
    return (out[0], into[0]) if takes_turns else None


def _may_be_amount(profile: Profile) -> bool:
    """True for numbers whose name does not mean something else. Decimals are never ids, whatever the name says."""
    if profile.numbers < NEARLY_ALL or profile.dates >= MOST:
        return False
    role, best = vocabulary.best_role(profile.name)
    return best.score < ENOUGH or (role == "transaction_id" and profile.whole_numbers < MOST)


def _is_balance(profile: Profile) -> bool:
    return vocabulary.best_role(profile.name)[0] == "balance"


def _names_a_side(profile: Profile) -> bool:
    role, best = vocabulary.best_role(profile.name)
    return role in SIDES and best.exact and (not profile.cells or profile.numbers >= HALF)


def _counts_in_fractions(found: Findings) -> bool:
    """True if a quantity has decimals, too, as coins have: it may be the amount, and the other numbers a fee."""
    return any(profile.whole_numbers < MOST for profile in quantities(found))
