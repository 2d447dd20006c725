"""Cells that say how much -> plain decimals with the right sign; what does not fit becomes a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rtp_workers.mapping import amounts
from rtp_workers.mapping.amounts import Amount, Marks
from rtp_workers.mapping.names import normalise
from rtp_workers.mapping.plan import FilePlan
from rtp_workers.mapping.texts import NOTHING
from rtp_workers.mapping.words import direction_words

CACHE_ENTRIES = 200_000
UNSIGNED = {"debit": -1, "credit": 1, "neutral": 0}

Refusals = dict[int, tuple[str, str]]


class HowMuch:
    """Reads the amount columns of one file. Not thread-safe: it remembers cells that it has seen."""

    def __init__(self, plan: FilePlan, where: dict[str, int]) -> None:
        rules, uses = plan.rules, plan.uses
        self._marks = Marks(rules.decimal_mark, rules.thousands_mark)
        self._rules = rules
        self._at = {
            role: [where[name] for name in uses[role].columns]
            for role in ("amount", "debit", "credit", "direction", "quantity")
            if role in uses
        }
        self._seen: dict[str, Amount | None] = {}
        words = direction_words() | {normalise(word): "debit" for word in rules.debit_words}
        self._words = words | {normalise(word): "credit" for word in rules.credit_words}
        self._signs: dict[str, int | None] = {}

    def read(self, columns: Sequence[Sequence[str]], refused: Refusals) -> tuple[list[str], list[str]]:
        """Returns an amount a row (``""`` where refused) and the currency beside it (``""`` where none was)."""
        if len(self._seen) > CACHE_ENTRIES:
            self._seen.clear()
        found = self._pairs(columns, refused) if self._rules.sign == "pair" else self._singles(columns, refused)
        if self._rules.amount_unit == "minor":
            values = [amounts.minor_to_major(amount.value) if amount else "" for amount in found]
        else:
            values = [amount.value if amount else "" for amount in found]
        return values, [(amount.currency or "") if amount else "" for amount in found]

    def _amount(self, cell: str) -> Amount | None:
        try:
            return self._seen[cell]
        except KeyError:
            value = self._seen[cell] = amounts.parse(cell, self._marks)
            return value

    def _singles(self, columns: Sequence[Sequence[str]], refused: Refusals) -> list[Amount | None]:
        cells = columns[self._at["amount"][0]]
        found = [self._amount(cell) for cell in cells]
        if None in found:
            for index, amount in enumerate(found):
                if amount is None:
                    refused.setdefault(index, _not_an_amount(cells[index]))
        if "quantity" in self._at:
            found = self._times_quantity(found, columns[self._at["quantity"][0]], refused)
        if self._rules.sign == "negate":
            return [Amount(amounts.negated(amount.value), amount.currency) if amount else None for amount in found]
        if self._rules.sign == "direction":
            return self._directed(found, columns[self._at["direction"][0]], refused)
        return found

    def _times_quantity(
        self, found: list[Amount | None], quantities: Sequence[str], refused: Refusals
    ) -> list[Amount | None]:
        result: list[Amount | None] = []
        for index, (amount, cell) in enumerate(zip(found, quantities, strict=True)):
            quantity = self._amount(cell)
            if quantity is None:
                refused.setdefault(index, ("quantity_not_a_number", f"{cell[:40]!r} is no number"))
            if amount is None or quantity is None:
                result.append(None)
                continue
            product = format(Decimal(amount.value) * Decimal(quantity.value), "f")
            result.append(Amount(product, amount.currency))
        return result

    def _directed(self, found: list[Amount | None], words: Sequence[str], refused: Refusals) -> list[Amount | None]:
        result: list[Amount | None] = []
        for index, (amount, word) in enumerate(zip(found, words, strict=True)):
            sign = self._sign(word)
            if sign is None:
                refused.setdefault(index, ("direction_unknown", f"{word[:40]!r} is no known word for debit or credit"))
            if amount is None or not sign:
                result.append(amount)
                continue
            value = amount.value.removeprefix("-")
            result.append(Amount(amounts.negated(value) if sign < 0 else value, amount.currency))
        return result

    def _sign(self, word: str) -> int | None:
        if word not in self._signs:
            kind = self._words.get(normalise(word))
            if kind is None and word.strip() in ("+", "-"):
                kind = "credit" if word.strip() == "+" else "debit"
            self._signs[word] = UNSIGNED[kind] if kind is not None else None
        return self._signs[word]

    def _pairs(self, columns: Sequence[Sequence[str]], refused: Refusals) -> list[Amount | None]:
        height = len(columns[0])
        sides = [columns[self._at[role][0]] if role in self._at else [""] * height for role in ("debit", "credit")]
        return [
            self._pair(index, debit, credit, refused) for index, (debit, credit) in enumerate(zip(*sides, strict=True))
        ]

    def _pair(self, index: int, debit: str, credit: str, refused: Refusals) -> Amount | None:
        sides = []
        for cell in (debit, credit):
            amount = self._amount(cell)
            if amount is None and cell.strip() not in NOTHING:
                refused.setdefault(index, _not_an_amount(cell))
                return None
            sides.append(amount)
        out, into = sides
        if out is not None and not self._rules.debit_negative:
            out = Amount(amounts.negated(out.value), out.currency)
        filled = [amount for amount in (out, into) if amount is not None]
        nonzero = [amount for amount in filled if amount.value.strip("-0.")]
        if len(nonzero) > 1:
            refused.setdefault(
                index, ("amount_on_both_sides", f"debit {debit[:20]!r} and credit {credit[:20]!r} are both filled")
            )
            return None
        if not filled:
            refused.setdefault(index, ("amount_missing", "neither debit nor credit is filled"))
            return None
        return nonzero[0] if nonzero else filled[0]


def _not_an_amount(cell: str) -> tuple[str, str]:
    if cell.strip() in NOTHING:
        return "amount_missing", "the row has no amount"
    return "amount_not_a_number", f"{cell[:40]!r} is no amount in the file's number format"
