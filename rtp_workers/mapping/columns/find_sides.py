"""Finds two columns that share the amounts of a statement: one for money out, one for money in."""

from __future__ import annotations

from collections import Counter
from itertools import product

from rtp_workers.mapping.cells import amounts
from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import direction_of, looks_like_balance_line
from rtp_workers.mapping.columns import vocabulary
from rtp_workers.mapping.columns.balance_walk import walks_through
from rtp_workers.mapping.columns.findings import BY_VALUES, ENOUGH, Candidate, Findings
from rtp_workers.mapping.columns.profile import HALF, NEARLY_ALL, Profile
from rtp_workers.mapping.toml_text import quoted

# Roles whose numbers are never the other side of an amount.
NO_SIDES = (vocabulary.DECOYS | {"quantity", "unit_price", "transaction_id", "sequence"}) - {"index"}
LETTERS = (("d", "c"), ("s", "h"))  # debit and credit; Soll and Haben
LETTERED = 0.85  # the score of such a name
FEWEST_FEES = 2  # rows
RISES = 2  # so many times more money in than out is unusual for an account
LEAST_RISES = 5  # rows; fewer are chance
MOST_STRAYS = 10  # one row in this many may fill both sides or neither
# Texts between the numbers: up to 15 % of the cells count little; with more of them, the name must be strong.
FEW_STRAYS, FEW_STRAYS_FIT, STRAYS_FIT = 0.85, 0.9, 0.7


def is_number(profile: Profile) -> float:
    """Measures how well a column fits numbers, 0..1. Stray texts count little under a clear name, else much."""
    if profile.numbers < HALF or (profile.dates >= NEARLY_ALL and profile.numbers < 1.0):
        return 0.0
    return 1.0 if profile.numbers >= NEARLY_ALL else FEW_STRAYS_FIT if profile.numbers >= FEW_STRAYS else STRAYS_FIT


def named_pair(found: Findings) -> tuple[Candidate, Candidate] | None:
    """Returns the debit and the credit column by their names, if very few rows fill both.

    ``Net Debit`` belongs to ``Net Credit``, and not to ``Gross Credit``.
    """
    debits, credits = (found.candidates(role, _is_side) for role in ("debit", "credit"))
    pairs = [
        (debit, credit)
        for debit, credit in product(debits, credits)
        if debit.profile.index != credit.profile.index and _exclusive(debit.profile, credit.profile)
    ]
    named = min(pairs, key=lambda pair: _other_words(pair[0]) != _other_words(pair[1]), default=None)
    return named or _lettered_pair(found)


def take_pair(found: Findings, debit: Candidate, credit: Candidate) -> None:
    """Takes two columns as the sides. Fees that only other rows have are money out, too."""
    fees = [one for one in found.free() if _is_fee_of_other_rows(one, debit.profile, credit.profile)]
    found.take("debit", [debit.profile, *fees[:1]], debit.score, debit.why)
    found.take("credit", [credit.profile], credit.score, credit.why)


def _is_fee_of_other_rows(fee: Profile, debit: Profile, credit: Profile) -> bool:
    """True for a fee that is filled only where neither side is, and has a minus only if money out has one."""
    role, name = vocabulary.best_role(fee.name)
    if role != "fee" or not name.exact or fee.numbers < NEARLY_ALL or fee.all_negative != debit.all_negative:
        return False
    rows = [tuple(map(_has_amount, cells)) for cells in zip(fee.column, debit.column, credit.column, strict=True)]
    charged = [out or into for has_fee, out, into in rows if has_fee]
    return len(charged) >= FEWEST_FEES and not any(charged)


def _lettered_pair(found: Findings) -> tuple[Candidate, Candidate] | None:
    """Returns two columns of numbers that are called D and C, or S and H: each row fills one of them."""
    columns = {normalise(one.name): one for one in found.free() if one.cells and one.numbers >= NEARLY_ALL}
    for letters in LETTERS:
        sides = [columns[letter] for letter in letters if letter in columns]
        if len(sides) == len(letters) and not any(map(_fills_both_or_neither, sides[0].column, sides[1].column)):
            names = [vocabulary.NameScore(LETTERED, True, letter, frozenset()) for letter in letters]
            debit, credit = (Candidate(side, LETTERED, name) for side, name in zip(sides, names, strict=True))
            return debit, credit
    return None


def _fills_both_or_neither(one: str, other: str) -> bool:
    return _has_amount(one) == _has_amount(other)


def _other_words(candidate: Candidate) -> set[str]:
    return set(normalise(candidate.profile.name).split()) - set(candidate.name.phrase.split())


def lone_side(found: Findings) -> tuple[str, Candidate] | None:
    """Returns the only debit or credit column of a statement that shows one side."""
    sides = [
        (role, candidate)
        for role in ("debit", "credit")
        for candidate in found.candidates(role, is_number)
        if candidate.name.exact and candidate.profile.cells
    ]
    return sides[0] if len(sides) == 1 else None


def _is_side(profile: Profile) -> float:
    # A side without any entry is still a side, for example in an export of withdrawals only.
    return 1.0 if not profile.cells else is_number(profile)


def _exclusive(debit: Profile, credit: Profile) -> bool:
    """True if very few rows fill both sides."""
    both = sum(map(_is_nonzero, debit.column, credit.column))
    return both <= max(1, debit.rows // MOST_STRAYS) and bool(debit.nonzero or credit.nonzero)


def _is_nonzero(one: str, other: str) -> bool:
    parts = (amounts.take_apart(one), amounts.take_apart(other)) if one and other else (None,)
    return all(part is not None and part.number.strip("0.,") for part in parts)


def take_with_partner(found: Findings, known: Candidate, side: str | None) -> bool:
    """Takes a known column and an unknown one as the two sides, if each is filled exactly where the other is not.

    Args:
        side: ``debit`` or ``credit``, as the known column's name says; None if it is only called an amount.

    Returns:
        False if no other column completes the known one.
    """
    partner = other_side_of(found, known.profile)
    if partner is None:
        return False
    side = side or _side_by_name(known.profile.name) or _side_by_balance(found, known.profile, partner)
    if side is None and (other := _side_by_name(partner.name)) is not None:
        side = "credit" if other == "debit" else "debit"
    columns = (known.profile, partner) if side != "credit" else (partner, known.profile)
    for role, profile in zip(("debit", "credit"), columns, strict=True):
        why = known.why if profile is known.profile else f"values (filled where {known.profile.name} is not)"
        found.take(role, [profile], known.score if profile is known.profile else BY_VALUES, why)
    if side is None:
        found.ask(
            "amount",
            f"each row fills either {known.profile.name} or {partner.name}; which of the two is money out",
            *lines_of_sides(*columns),
            *lines_of_sides(*reversed(columns)),
        )
    return True


def lines_of_sides(out: Profile, into: Profile) -> tuple[str, str]:
    """Returns the mapping lines that make two columns money out and money in."""
    return f"# columns.debit = {quoted([out.name])}", f"# columns.credit = {quoted([into.name])}"


def in_order_of_sides(found: Findings, one: Profile, other: Profile) -> tuple[Profile, Profile]:
    """Returns two columns as money out and money in, as the words for sides in other columns say, if any do."""
    sides = Counter[str | None]()
    for profile in found.free():
        for word, cell, also in zip(profile.column, one.column, other.column, strict=True):
            if _has_amount(cell) and not _has_amount(also):
                sides[direction_of(word)] += 1
    return (other, one) if sides["credit"] > sides["debit"] else (one, other)


def other_side_of(found: Findings, known: Profile) -> Profile | None:
    """Returns the column that has an amount in just the rows in which the known one has none."""
    return next((profile for profile in found.free() if _completes(found, known, profile)), None)


def _completes(found: Findings, known: Profile, other: Profile) -> bool:
    """True if the other column has an amount in exactly the rows in which the known one is empty or zero."""
    if other is known or other.numbers < NEARLY_ALL or other.dates >= NEARLY_ALL or not other.cells:
        return False
    if _is_no_side(other.name):
        return False
    rows = _rows_of_transactions(found)
    ours, theirs = ([_has_amount(profile.column[at]) for at in rows] for profile in (known, other))
    strays = sum(one == two for one, two in zip(ours, theirs, strict=True))
    only = [sum(one and not two for one, two in zip(*order, strict=True)) for order in ((ours, theirs), (theirs, ours))]
    # One number says little next to an amount that has both signs already: it may be a sum above the rows.
    least = 2 if known.has_both_signs else 1
    return min(only) >= least and strays <= max(1, len(ours) // MOST_STRAYS) and sum(only) > strays


def _is_no_side(name: str) -> bool:
    """True for names of fees, pieces and the like. The word for a balance in one language means `sold` in another."""
    role, best = vocabulary.best_role(name)
    return role in NO_SIDES and best.score >= ENOUGH and role != "balance"


def _rows_of_transactions(found: Findings) -> list[int]:
    """Returns the rows that are not balance lines. (Those fill the balance but not the amount.)"""
    texts = [profile.column for profile in found.profiles if profile.letters > 0 and profile.numbers < NEARLY_ALL]
    rows = range(found.profiles[0].rows)
    return [at for at in rows if not any(looks_like_balance_line(column[at]) for column in texts)]


def _has_amount(cell: str) -> bool:
    part = amounts.take_apart(cell) if cell else None
    return part is not None and bool(part.number.strip("0.,"))


def _side_by_name(name: str) -> str | None:
    debit, credit = (vocabulary.score(name, role).score for role in ("debit", "credit"))
    if max(debit, credit) < ENOUGH or debit == credit:
        return None
    return "debit" if debit > credit else "credit"


def _side_by_balance(found: Findings, known: Profile, partner: Profile) -> str | None:
    """Returns the side of the known column, found by a running balance that rises or falls with it.

    A balance that rises nearly always may be a debt, and shows no side.
    """
    for balance in found.free():
        if balance in (known, partner) or balance.numbers < NEARLY_ALL:
            continue
        if walks_through(balance, partner, known):
            return None if may_be_debt(known, partner) else "debit"
        if walks_through(balance, known, partner):
            return None if may_be_debt(partner, known) else "credit"
    return None


def may_be_debt(out: Profile, into: Profile) -> bool:
    """True if the balance would rise much more often than it falls: purchases raise the debt of a card."""
    return len(into.nonzero) >= max(LEAST_RISES, len(out.nonzero) * RISES)
