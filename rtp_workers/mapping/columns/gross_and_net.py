"""Finds the sum with tax next to the sum without it: of an invoice, the first is what is really paid."""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations, permutations

from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.columns.find_quantity import CENT, value_of
from rtp_workers.mapping.columns.findings import BY_VALUES, CLEAR_NAME, Candidate, Findings
from rtp_workers.mapping.columns.profile import MOST, NEARLY_ALL, Profile
from rtp_workers.mapping.columns.vocabulary import best_role, score

TAXES = frozenset(
    {"tax", "vat", "gst", "hst", "mwst", "ust", "umsatzsteuer", "mehrwertsteuer", "steuer", "tva", "iva", "btw", "kdv"}
    | {"moms", "mva", "dph", "afa", "ppn", "ндс", "пдв", "税额", "税金", "消費税", "세액", "부가세", "icms", "imposto"}
)
# Words for with tax, and without it.
WITH = frozenset({"ttc", "incl", "inkl", "including", "dahil", "s", "с", "z"})
WITHOUT = frozenset({"ht", "excl", "exkl", "excluding", "haric", "bez", "без"})
WAGES = frozenset({"salary", "wage", "wages", "pay", "payroll", "lohn", "gehalt", "salario", "salaire", "maas", "gaji"})
# Beginnings of words for a discount.
DISCOUNTS = (
    *("discount", "descuento", "desconto", "rabat", "remise", "sconto", "sconti", "korting", "nachlass", "slev"),
    *("indirim", "iskonto", "diskon", "скидк", "знижк", "popust", "kedvezmeny", "alennus"),
    *("优惠", "折扣", "割引", "할인"),
)
LEAST_ROWS, MOST_PARTS = 2, 8
SOME = 0.3  # share of cells that are numbers: drafts of invoices have none yet


def with_tax(candidates: list[Candidate]) -> list[Candidate]:
    """Returns the candidates without those that say that they are without tax, if another one says that it is with."""
    words = {one.profile.index: set(normalise(one.profile.name).split()) for one in candidates}
    if not any(some & WITH for some in words.values()):
        return candidates
    return [one for one in candidates if not words[one.profile.index] & WITHOUT]


def is_without_tax(profile: Profile, columns: list[Profile]) -> bool:
    """True if a name says without tax, and that of an amount says with it."""
    words = set(normalise(profile.name).split())
    return bool(words & WITHOUT) and any(set(normalise(one.name).split()) & WITH for one in columns)


def take_sum_with_tax(found: Findings) -> None:
    """Takes the column that is the amount plus the tax next to it, if the amount's name does not clearly say amount."""
    use = found.uses.get("amount")
    if use is None or "amount" in found.section.columns:
        return
    net = found.profile(use.columns[0])
    if (name := score(net.name, "amount")).exact and name.score >= CLEAR_NAME:
        return
    if set(normalise(net.name).split()) & WAGES:
        return
    taxes, sums = _taxes(found), _sums(found)
    for tax in taxes:
        for gross in sums:
            if _adds_up(net, tax, gross):
                found.taken.discard(net.index)
                found.take("amount", [gross], BY_VALUES, f"values ({net.name} plus {tax.name})")
                return


def is_sum_with_tax(found: Findings, amount: Profile) -> bool:
    """True if the amount is the sum of two other columns, one of which is a tax. Wages are paid without it."""
    if set(normalise(amount.name).split()) & WAGES:
        return False
    return any(_adds_up(net, tax, amount) for tax in _taxes(found) for net in _sums(found))


def is_total(found: Findings, amount: Profile) -> bool:
    """True if the amount is the sum of two other columns, as a payment is of principal and interest.

    A balance is none of the two. Wages are paid after deductions.
    """
    if set(normalise(amount.name).split()) & WAGES:
        return False
    parts = [one for one in _numbers(found) if one is not amount and not _is_no_part(one.name)]
    return any(_is_sum(amount, *pair) for pair in combinations(parts[:MOST_PARTS], 2))


def _is_no_part(name: str) -> bool:
    return best_role(name)[0] in ("balance", "rate") or _is_discount(name)


def paid_after_discount(found: Findings, candidates: list[Profile]) -> Profile | None:
    """Returns the one of several amounts that is another one less a discount: it is what was paid."""
    discounts = [one for one in _numbers(found) if _is_discount(one.name)]
    return next(
        (
            paid
            for paid, full in permutations(candidates, 2)
            if any(_is_sum(full, paid, discount) for discount in discounts)
        ),
        None,
    )


def _is_discount(name: str) -> bool:
    return any(word.startswith(DISCOUNTS) for word in normalise(name).split())


def _is_sum(total: Profile, one: Profile, other: Profile) -> bool:
    rows = [tuple(map(value_of, cells)) for cells in zip(total.column, one.column, other.column, strict=True)]
    known = [(sum_, first or Decimal(0), second or Decimal(0)) for sum_, first, second in rows if sum_]
    fitting = [bool(first and second) for sum_, first, second in known if abs(first + second - sum_) <= CENT]
    return len(fitting) >= len(known) * MOST and sum(fitting) >= LEAST_ROWS


def _taxes(found: Findings) -> list[Profile]:
    return [one for one in _numbers(found) if _is_tax(one.name)]


def _sums(found: Findings) -> list[Profile]:
    return [one for one in _numbers(found) if not _is_tax(one.name)]


def _is_tax(name: str) -> bool:
    words = set(normalise(name).split())
    return bool(words & TAXES) and not words & (WITH | WITHOUT)


def _numbers(found: Findings) -> list[Profile]:
    return [one for one in found.free() if one.numbers >= SOME and one.dates < NEARLY_ALL]


def _adds_up(net: Profile, tax: Profile, gross: Profile) -> bool:
    """True if in nearly every row one sum is the other plus the tax, and some rows have a tax."""
    rows = [tuple(map(value_of, cells)) for cells in zip(net.column, tax.column, gross.column, strict=True)]
    known = [(low, extra or Decimal(0), high) for low, extra, high in rows if low is not None and high is not None]
    fitting = [extra for low, extra, high in known if abs(low + extra - high) <= CENT and extra <= low]
    return len(fitting) >= max(LEAST_ROWS, len(known) * MOST) and any(fitting)
