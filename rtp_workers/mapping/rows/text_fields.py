"""Cells -> the record's text fields. A cell that breaks its field's rule goes into ``attributes``, uncut.

If the mapping has a constant for the currency and a cell holds neither a currency nor nothing, the row is refused: the
constant would be a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import cast

from rtp_workers.mapping.cells.countries import country_code
from rtp_workers.mapping.cells.texts import BLANK, NOTHING, PADDING
from rtp_workers.mapping.cells.words import currency_code, sharing_currencies
from rtp_workers.mapping.plan import FilePlan
from rtp_workers.record.transaction import FIELD_NAMES, RULES, fields_of

CACHE_ENTRIES = 50_000
# Fields whose codes have other names too, such as "euro" and "Germany". Other code fields accept only the code itself.
CODES: dict[str, Callable[[str], str | None]] = {"currency": currency_code, "country": country_code}
Refusals = dict[int, tuple[str, str]]  # by row: a stable code and one sentence
# In a column of currencies, an unknown code is still a currency. Two unknown letters might be a US state instead.
UNLISTED_CODES = frozenset({"currency"})


def text_field_names() -> tuple[str, ...]:
    """Returns the record's fields that one cell fills as text, in the record's order."""
    wanted = fields_of("party", "text", "choice", "code")
    return tuple(name for name in FIELD_NAMES if name in wanted)


class FieldCells:
    """Reads one text field. If it has several columns, the first filled one counts.

    Attributes:
        positions: the columns of the field; empty if the file has none.
    """

    def __init__(self, field: str, plan: FilePlan, where: dict[str, int]) -> None:
        self.field = field
        use = plan.uses.get(field)
        self.positions = [where[name] for name in use.columns] if use is not None else []
        self._names = use.columns if use is not None else ()
        self._constant = plan.rules.constants.get(field, "")
        if not self._constant and field == "currency":
            self._constant = plan.rules.currency or ""
        self._rule = RULES[field]
        self._code = CODES.get(field)
        self._pattern = re.compile(self._rule.pattern) if self._rule.pattern else None
        self._seen: dict[str, str | None] = {}

    @property
    def may_be_filled(self) -> bool:
        """False if the file has neither a column nor a constant for the field."""
        return bool(self.positions or self._constant)

    def read(
        self, columns: Sequence[Sequence[str]], leftovers: dict[int, dict[str, str]], refused: Refusals
    ) -> list[str]:
        """Returns one text per row, ``""`` for null.

        Cells that break the rule are added to ``leftovers``, by row. A row with an unknown currency is refused if there
        is a constant for the currency.
        """
        if not self.positions:
            return [self._constant] * len(columns[0])
        if len(self._seen) > CACHE_ENTRIES:
            self._seen.clear()
        cells = columns[self.positions[0]]
        if len(self.positions) > 1:
            cells = [self._first(row) for row in zip(*(columns[at] for at in self.positions), strict=True)]
        seen = self._seen
        for cell in set(cells).difference(seen):
            seen[cell] = self._read(cell)
        found = list(map(seen.__getitem__, cells))
        if self._constant:
            found = [self._constant if value == "" else value for value in found]
        for index, value in enumerate(found) if None in found else ():
            if value is None:
                text = cells[index].strip(BLANK)
                leftovers.setdefault(index, {})[self._names[0]] = text
                found[index] = self._instead_of(text, index, refused)
        return cast(list[str], found)

    def _instead_of(self, text: str, index: int, refused: Refusals) -> str:
        """Returns what a row gets whose cell breaks the rule: nothing, or the constant for a shared sign.

        The constant says which of several currencies a shared sign means. It says nothing about any other text.
        """
        if not self._constant or self.field != "currency":
            return ""
        if self._constant not in sharing_currencies(text):
            detail = (
                f"{self._names[0]} has {text[:40]!r}, which is not the code of a currency; correct the cell, or take "
                f"the column out of columns.currency if every amount is in {self._constant}"
            )
            refused.setdefault(index, ("currency_not_a_code", detail))
        return self._constant

    @staticmethod
    def _first(cells: tuple[str, ...]) -> str:
        return next((cell for cell in cells if cell.strip(BLANK) not in NOTHING), "")

    def _read(self, cell: str) -> str | None:
        text = cell.strip(PADDING if self._rule.kind == "party" else BLANK)
        if text in NOTHING:
            return ""
        if self._pattern is None:
            return text if len(text) <= (self._rule.max_length or len(text)) else None
        known = self._code(text) if self._code is not None else None
        if known is not None:
            return known
        unlisted = self._code is None or self.field in UNLISTED_CODES
        return text if unlisted and self._pattern.fullmatch(text) else None
