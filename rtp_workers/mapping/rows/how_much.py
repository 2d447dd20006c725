"""Cells with amounts -> plain decimals with the right sign. A cell that is not an amount refuses its row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from rtp_workers.errors import ConfigError
from rtp_workers.mapping.cells import amounts
from rtp_workers.mapping.cells.amounts import EXACT, Amount, Marks
from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.texts import is_nothing
from rtp_workers.mapping.cells.words import direction_of
from rtp_workers.mapping.plan import FilePlan

CACHE_ENTRIES = 50_000
SIGNS = {"debit": -1, "credit": 1, "neutral": 0}

NOTED = re.compile(r"[^\d(（\[]{0,5}\d[\d.,' ]*\s*[(（\[].*\d.*[)）\]]$")  # 131.77(refunded 89.84)

Refusals = dict[int, tuple[str, str]]


@dataclass(slots=True)
class Column:
    """The amounts of one column, None for a cell without an amount. ``currencies`` is empty if no cell names one."""

    values: list[str | None]
    currencies: list[str]


class HowMuch:
    """Reads the amount columns of one file. Not thread-safe: it remembers cells that it has seen."""

    def __init__(self, plan: FilePlan, where: dict[str, int]) -> None:
        rules, uses = plan.rules, plan.uses
        self._marks = Marks(rules.decimal_mark, rules.thousands_mark)
        self._plain = _plain_column(self._marks)
        self._rules = rules
        self._is_open = "decimal_mark" in rules.open_rules
        roles = [role for role in plan.roles_read if role in ("amount", "debit", "credit", "direction", "quantity")]
        self._at = {role: where[uses[role].columns[0]] for role in roles}
        self._after = {role: [where[name] for name in uses[role].columns[1:]] for role in roles}
        self._seen: dict[str, Amount | None] = {}
        # The mapping's own words come first.
        self._words = {normalise(word) or word.strip(): "debit" for word in rules.debit_words}
        self._words |= {normalise(word) or word.strip(): "credit" for word in rules.credit_words}
        self._words |= {normalise(word) or word.strip(): "neutral" for word in rules.neutral_words}
        self._signs: dict[str, int | None] = {}

    def read(self, columns: Sequence[Sequence[str]], refused: Refusals) -> tuple[list[str], list[str]]:
        """Returns one amount per row (``""`` if refused), and the currency next to each, or no currencies at all."""
        if len(self._seen) > CACHE_ENTRIES:
            self._seen.clear()
        if self._is_open:
            places = [*self._at.values(), *(at for more in self._after.values() for at in more)]
            self._settle([cell for at in places for cell in columns[at]])
        if self._rules.sign == "pair":
            values, currencies = self._pairs(columns, refused)
        else:
            found = self._singles(columns, refused)
            values, currencies = found.values, found.currencies
        if self._rules.amount_unit == "minor":
            values = [amounts.minor_to_major(value) if value else value for value in values]
        if (digits := self._rules.round_to) is not None:
            values = [amounts.rounded(value, digits) if value else value for value in values]
        return [value or "" for value in values], currencies

    def _settle(self, cells: Sequence[str]) -> None:
        """Decides the decimal mark by the first cells that have one, if the file's beginning left it open.

        Raises:
            ConfigError: the cells can be read with either mark, which would differ by a factor of a thousand.
        """
        marked = [cell for cell in set(cells) if "." in cell or "," in cell]
        seen = amounts.evidence_of(marked)
        if not (seen.decimal or seen.thousands or seen.either):
            return
        marks = amounts.decide_marks(seen) if seen.decimal or seen.thousands else None
        if marks is None:
            example = next(cell for cell in marked if amounts.take_apart(cell) is not None)
            raise ConfigError(
                f"the amount {example!r} may have a decimal or a thousands mark, and no row up to it decides; "
                'add decimal_mark = "." or decimal_mark = "," to the section of this file, and load it again: '
                "rows that are loaded keep their ids"
            )
        self._marks, self._plain, self._is_open = marks, _plain_column(marks), False
        self._seen.clear()

    def _column(self, cells: Sequence[str]) -> Column:
        """Reads a column in one step if all its cells are plain numbers, else cell by cell."""
        if (affix := self._rules.amount_affix) is not None:
            bare = {cell: affix.stripped(cell) for cell in set(cells)}
            cells = list(map(bare.__getitem__, cells))
        text = "\n".join(cells) + "\n"
        if self._plain.fullmatch(text) is not None:
            for mark in self._marks.thousands:
                text = text.replace(mark, "")
            text = text.replace("+", "").replace(self._marks.decimal, ".")
            return Column([value or None for value in text[:-1].split("\n")], [])
        seen = self._seen
        for cell in set(cells).difference(seen):
            seen[cell] = amounts.parse(cell, self._marks)
        found = [seen[cell] for cell in cells]
        values = [amount.value if amount is not None else None for amount in found]
        if any(amount is not None and amount.currency for amount in found):
            return Column(values, [(amount.currency or "") if amount is not None else "" for amount in found])
        return Column(values, [])

    def _singles(self, columns: Sequence[Sequence[str]], refused: Refusals) -> Column:
        cells = self._first_filled("amount", columns)
        found = self._column(cells)
        _refuse_missing(found.values, cells, refused)
        if "quantity" in self._at:
            found.values = self._times_quantity(found.values, columns[self._at["quantity"]], refused)
        if self._rules.sign == "negate":
            found.values = [amounts.negated(value) if value is not None else None for value in found.values]
        elif self._rules.sign == "direction":
            found.values = self._directed(found.values, columns[self._at["direction"]], refused)
        return found

    def _first_filled(self, role: str, columns: Sequence[Sequence[str]]) -> Sequence[str]:
        """Returns the role's cells: of several columns, in each row the first one that is filled."""
        cells = columns[self._at[role]]
        for at in self._after[role]:
            cells = [cell or other for cell, other in zip(cells, columns[at], strict=True)]
        return cells

    def _times_quantity(
        self, values: Sequence[str | None], quantities: Sequence[str], refused: Refusals
    ) -> list[str | None]:
        factors = self._column(quantities).values
        for index, factor in enumerate(factors):
            if factor is None:
                refused.setdefault(index, ("quantity_not_a_number", f"{quantities[index][:40]!r} is not a number"))
        return [
            format(EXACT.multiply(Decimal(value), Decimal(factor)), "f")
            if value is not None and factor is not None
            else None
            for value, factor in zip(values, factors, strict=True)
        ]

    def _directed(self, values: Sequence[str | None], words: Sequence[str], refused: Refusals) -> list[str | None]:
        for word in set(words).difference(self._signs):
            self._signs[word] = self._sign(word)
        result: list[str | None] = []
        for index, (value, word) in enumerate(zip(values, words, strict=True)):
            sign = self._signs[word]
            if sign is None:
                refused.setdefault(
                    index,
                    (
                        "direction_unknown",
                        f"{word[:40]!r} is not a known word for debit or credit; add it to debit_words or credit_words",
                    ),
                )
            if value is None or not sign:
                result.append(value)
                continue
            unsigned = value.removeprefix("-")
            result.append(amounts.negated(unsigned) if sign < 0 else unsigned)
        return result

    def _sign(self, word: str) -> int | None:
        kind = self._words.get(normalise(word) or word.strip()) or direction_of(word)
        return SIGNS[kind] if kind is not None else None

    def _pairs(self, columns: Sequence[Sequence[str]], refused: Refusals) -> tuple[list[str | None], list[str]]:
        nothing = [""] * len(columns[0])
        cells = [self._first_filled(role, columns) if role in self._at else nothing for role in ("debit", "credit")]
        out, into = (self._column(side) for side in cells)
        for side, written in zip((out, into), cells, strict=True):
            for index, value in enumerate(side.values):
                if value is None and written[index] and not is_nothing(written[index].strip()):
                    refused.setdefault(index, _not_an_amount(written[index]))
        for side, turned in ((out, not self._rules.debit_negative), (into, self._rules.credit_negative)):
            if turned:
                side.values = [amounts.negated(value) if value is not None else None for value in side.values]
        values = [
            _one_of(index, debit, credit, refused)
            for index, (debit, credit) in enumerate(zip(out.values, into.values, strict=True))
        ]
        currencies = [one or other for one, other in zip(out.currencies, into.currencies, strict=False)]
        return values, currencies or out.currencies or into.currencies


def _one_of(index: int, debit: str | None, credit: str | None, refused: Refusals) -> str | None:
    """Returns the filled side. A zero on the other side counts as empty."""
    if credit is None and debit is not None:
        return debit
    if debit is None and credit is not None:
        return credit
    if debit is None or credit is None:
        refused.setdefault(index, ("amount_missing", "neither debit nor credit is filled"))
        return None
    if not debit.strip("-0."):
        return credit
    if not credit.strip("-0."):
        return debit
    refused.setdefault(index, ("amount_on_both_sides", f"debit {debit[:20]} and credit {credit[:20]} are both filled"))
    return None


def _refuse_missing(values: Sequence[str | None], cells: Sequence[str], refused: Refusals) -> None:
    if None in values:
        for index, value in enumerate(values):
            if value is None:
                refused.setdefault(index, _not_an_amount(cells[index]))


def _plain_column(marks: Marks) -> re.Pattern[str]:
    """Returns the pattern of a column of plain numbers or empty cells, one per line. Minus zero is not plain."""
    decimal = re.escape(marks.decimal)
    number = "[0-9]+"
    if marks.thousands:
        group = f"[{re.escape(marks.thousands)}]"
        number = f"(?:[0-9]{{1,3}}(?:{group}[0-9]{{3}})++|[0-9]+)"
    # Thousands marks go, then the decimal mark becomes a point: a blank could be in both roles, so it is not plain.
    return re.compile(rf"(?:(?:(?:\+|-(?=[0{decimal}]*+[1-9]))?{number}(?:{decimal}[0-9]+)?)?\n)*+")


def _not_an_amount(cell: str) -> tuple[str, str]:
    if is_nothing(cell.strip()):
        return "amount_missing", "the row has no amount"
    if NOTED.match(cell.strip()):
        return (
            "amount_with_note",
            f"{cell[:40]!r} holds two amounts, one in a note: correct the cell to the one that counts",
        )
    return "amount_not_a_number", f"{cell[:40]!r} is not an amount in the file's number format"
