"""Describes the cells of one column: the evidence for or against what its name says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from rtp_workers.mapping.cells import amounts, dates
from rtp_workers.mapping.cells.affixes import Affix
from rtp_workers.mapping.cells.countries import country_code
from rtp_workers.mapping.cells.names import normalise
from rtp_workers.mapping.cells.words import currency_code, direction_of

LOOKED_AT = 1_000
# Shares of the filled cells that must pass a test.
NEARLY_ALL = 0.95  # a stray cell may be a mistake in the file
MOST = 0.9  # leaves room for placeholders such as "n/a"
HALF = 0.5  # the column is rather this than anything else
DECIMALS = 0.3  # prices are often whole: 5.00 has no fraction that counts


@dataclass(frozen=True)
class Profile:
    """The cells of one column, of the sample's ordinary rows.

    Attributes:
        name: the column's name.
        index: its position.
        column: every cell, stripped and without `affix`; ``""`` for an empty one.
        affix: text around the column's numbers, such as a currency sign, or None.
    """

    name: str
    index: int
    column: Sequence[str]
    affix: Affix | None = None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.column)

    @cached_property
    def cells(self) -> Sequence[str]:
        """The filled cells, in order."""
        return [cell for cell in self.column if cell]

    @cached_property
    def some(self) -> Sequence[str]:
        """At most LOOKED_AT of the filled cells, evenly spread."""
        step = max(1, len(self.cells) // LOOKED_AT)
        return self.cells[::step]

    @property
    def filled(self) -> float:
        """Share of rows in which the cell is filled."""
        return len(self.cells) / self.rows if self.rows else 0.0

    @cached_property
    def distinct(self) -> frozenset[str]:
        """The different filled cells."""
        return frozenset(self.cells)

    @property
    def uniqueness(self) -> float:
        """The number of distinct cells divided by that of filled cells: 1.0 if no cell repeats."""
        return len(self.distinct) / len(self.cells) if self.cells else 0.0

    def share(self, test: Callable[[str], bool]) -> float:
        """Returns the share of filled cells that pass the test."""
        return sum(map(test, self.some)) / len(self.some) if self.some else 0.0

    @cached_property
    def dates(self) -> float:
        """The share of filled cells that are dates, 0..1."""
        return self.share(dates.is_date)

    @cached_property
    def has_clock(self) -> bool:
        """True if the dates have a time of day."""
        shapes = [shape for cell in self.some if (shape := dates.shape_of(cell))]
        return bool(shapes) and sum(bool(shape.rest.strip(" ,;.T")) for shape in shapes) > len(shapes) * HALF

    @cached_property
    def clocks(self) -> float:
        """The share of filled cells that are a time of day only."""
        return self.share(lambda cell: dates.parse_clock(cell) is not None)

    @cached_property
    def epoch(self) -> str | None:
        """``s``, ``ms``, ``us`` or ``ns`` if the cells count from 1970 in that unit, else None."""
        return dates.epoch_unit(self.some)

    @cached_property
    def numbers(self) -> float:
        """The share of filled cells that are amounts or numbers in scientific form."""
        return self.share(lambda cell: amounts.take_apart(cell) is not None or amounts.is_scientific(cell))

    @cached_property
    def whole_numbers(self) -> float:
        """The share of filled cells that have only digits, and perhaps a sign."""
        return self.share(lambda cell: cell.lstrip("-+").isdigit())

    @cached_property
    def is_decimal(self) -> bool:
        """True for a column of decimal numbers; whole numbers that a program wrote as floats (17850.0) are not."""
        return self.numbers >= MOST and self.share(_has_fraction) >= DECIMALS

    @cached_property
    def signed(self) -> bool:
        """True if some amounts are negative."""
        return any((parts := amounts.take_apart(cell)) is not None and parts.negative for cell in self.cells)

    @cached_property
    def all_negative(self) -> bool:
        """True if every amount except zero is negative."""
        parts = [part for cell in self.cells if (part := amounts.take_apart(cell)) and part.number.strip("0.,")]
        return bool(parts) and all(part.negative for part in parts)

    @property
    def has_both_signs(self) -> bool:
        """True if some amounts are negative and others are not."""
        return self.signed and not self.all_negative

    @cached_property
    def nonzero(self) -> frozenset[int]:
        """Positions in ``cells`` of amounts that are not zero."""
        return frozenset(
            at for at, cell in enumerate(self.cells) if (part := amounts.take_apart(cell)) and part.number.strip("0.,")
        )

    @cached_property
    def letters(self) -> float:
        """The share of filled cells with at least two letters."""
        return self.share(lambda cell: sum(char.isalpha() for char in cell) >= 2)

    @cached_property
    def directions(self) -> float:
        """The share of filled cells that name a direction: debit, credit or neutral."""
        return self.share(lambda cell: direction_of(cell) is not None)

    @cached_property
    def direction_words(self) -> frozenset[str]:
        """The normalised cells that are words for debit or credit. A sign is kept as it is."""
        return frozenset(normalise(cell) or cell for cell in self.distinct if direction_of(cell) is not None)

    @cached_property
    def direction_kinds(self) -> frozenset[str]:
        """The directions that cells name: ``debit``, ``credit``, ``neutral``."""
        return frozenset(kind for cell in self.distinct if (kind := direction_of(cell)) is not None)

    @cached_property
    def currencies(self) -> float:
        """The share of filled cells that name a currency."""
        return self.share(lambda cell: currency_code(cell) is not None)

    @cached_property
    def countries(self) -> float:
        """The share of filled cells that name a country."""
        return self.share(lambda cell: country_code(cell) is not None)

    @cached_property
    def longest(self) -> int:
        """The length of the longest cell, in characters."""
        return max((len(cell) for cell in self.some), default=0)


def _has_fraction(cell: str) -> bool:
    """True for 12.50, False for 17850.0: a program may have turned an id into a float, and it is still an id."""
    return any(mark in cell and cell.rpartition(mark)[2].strip("0") != "" for mark in ".,")
