"""Cells -> the record's text fields; what does not fit a field's rule goes into ``attributes``, never lost or cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rtp_workers.mapping.countries import country_code
from rtp_workers.mapping.plan import FilePlan
from rtp_workers.mapping.words import currency_code
from rtp_workers.record.transaction import FIELDS

TEXT_FIELDS = ("customer_id", "merchant", "category", "currency", "payment_method", "status", "country")
BLANK = " \t\r\n\u00a0\u202f\ufeff"
PADDING = BLANK + "\"'"  # quotes that a broken export left around an id
NOTHING = frozenset({"", "/", "-", "--", "NULL", "null", "NaN", "nan", "None", "\\N"})
CACHE_ENTRIES = 50_000
_CODE = re.compile("[A-Z]{3}")
_LIMITS = {field.name: field.rule.max_length or 0 for field in FIELDS}
CODES: dict[str, Callable[[str], str | None]] = {"currency": currency_code, "country": country_code}


class FieldCells:
    """Reads one text field. Several columns: the first that is filled counts.

    Attributes:
        positions: the columns of the field; empty where the file has none.
    """

    def __init__(self, field: str, plan: FilePlan, where: dict[str, int]) -> None:
        self.field = field
        use = plan.uses.get(field)
        self.positions = [where[name] for name in use.columns] if use is not None else []
        self._names = use.columns if use is not None else ()
        self._constant = plan.rules.constants.get(field, "")
        if not self._constant and field == "currency":
            self._constant = plan.rules.currency or ""
        self._code = CODES.get(field)
        self._limit = _LIMITS[field]
        self._seen: dict[str, str | None] = {}

    @property
    def may_be_filled(self) -> bool:
        """False where the file has neither a column nor a constant for the field."""
        return bool(self.positions or self._constant)

    def read(self, columns: Sequence[Sequence[str]], leftovers: dict[int, dict[str, str]]) -> list[str]:
        """Returns a text a row, ``""`` for null; cells that fit no rule are added to ``leftovers`` by row."""
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
        if None in found:
            for index, value in enumerate(found):
                if value is None:
                    leftovers.setdefault(index, {})[self._names[0]] = cells[index].strip(BLANK)
        if self._constant or None in found:
            return [value or self._constant for value in found]
        return [value for value in found if value is not None]

    @staticmethod
    def _first(cells: tuple[str, ...]) -> str:
        return next((cell for cell in cells if cell.strip(BLANK) not in NOTHING), "")

    def _read(self, cell: str) -> str | None:
        text = cell.strip(PADDING if self.field == "customer_id" else BLANK)
        if text in NOTHING:
            return ""
        if self._code is not None:
            # A code that is unknown here is still one in a column of codes.
            return self._code(text) or (text if self.field == "currency" and _CODE.fullmatch(text) else None)
        return text if len(text) <= self._limit else None
