"""The FilePlan: everything that is known, assumed or still open about a CSV before its first row is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rtp_workers.mapping.cells.affixes import Affix
from rtp_workers.record.transaction import FIELD_NAMES, FIELDS

REQUIRED_FIELDS = frozenset(field.name for field in FIELDS if field.required)
# Roles whose columns are all read and joined. For any other role, the first column or the first filled one is used.
GIVEN = "mapping"  # why a column is used that the mapping names
PARTS_OF = {
    "occurred_at": ("date", "time", "time_zone", "year", "month", "day", "step"),
    "amount": ("debit", "credit", "direction", "quantity"),
}
JOINED_ROLES = frozenset({"occurred_at", "date", "time", "transaction_id", "attributes"})


QuestionKind = Literal["day_order", "no_time", "year", "id", "encoding", "other"]


@dataclass(frozen=True, slots=True)
class Given:
    """What the mapping or the command line says about the dialect. What is None is found from the file.

    Attributes:
        escapes: True if a backslash escapes the character after it.
        header_line: physical line of the header; 0: there is none.
        header: names for the columns, in order.
    """

    encoding: str | None = None
    delimiter: str | None = None
    quotechar: str | None = None
    escapes: bool | None = None
    header_line: int | None = None
    header: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How bytes become cells.

    Attributes:
        encoding: Python codec name; ``utf-8-sig`` if there is a byte order mark.
        delimiter: one character.
        quotechar: one character.
        header_line: physical line (1-based) of the header; 0 if the file has none.
        first_data_line: physical line of the first row after the header (or of the file's first row).
        columns: a unique name for each cell of a data row, in order; ``column 3`` if the file does not name it.
        header_cells: the header as the file writes it, ``()`` without a header.
        escapes: True if a backslash escapes the character after it, as MySQL and PostgreSQL's COPY write it.
        encoding_is_open: True if the beginning holds only ASCII, which is valid in nearly every encoding.
        other_headers: lines of the headers of other tables in the file, if the mapping does not choose one.
        rows_above: lines above the header that look like transactions, if the mapping does not choose a header.
        fewest_cells, most_cells: a row with fewer cells than columns, or with empty ones behind them, is loaded within
            these limits; 0: no such row is.
    """

    encoding: str
    delimiter: str
    quotechar: str
    header_line: int
    first_data_line: int
    columns: tuple[str, ...]
    header_cells: tuple[str, ...] = ()
    encoding_is_open: bool = False
    escapes: bool = False
    other_headers: tuple[int, ...] = ()
    rows_above: tuple[int, ...] = ()
    fewest_cells: int = 0
    most_cells: int = 0

    @property
    def row_width(self) -> int:
        """The number of cells in a data row. A row of another width is refused as ragged, if it is not tolerated."""
        return len(self.columns)

    @property
    def tolerated_widths(self) -> range:
        """The numbers of cells that a row may have, if it differs from the others only by empty cells at its end."""
        return range(self.fewest_cells, self.most_cells + 1)


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """One role (a record field or a part of one, such as ``debit``) and the columns that fill it.

    Attributes:
        columns: column names, in the order in which they are joined.
        confidence: 0..1; 1.0 if the mapping says so.
        why: ``name``, ``values``, ``name and values`` or ``mapping``, with the evidence.
    """

    role: str
    columns: tuple[str, ...]
    confidence: float
    why: str


@dataclass(frozen=True, slots=True)
class Question:
    """A decision that only a person can make, and the mapping lines that make it.

    Attributes:
        field: the record's field that stays open; ``encoding`` if it is the whole file's.
        lines: lines of TOML to add to the file's section. The first line is the likeliest answer. Where a person has
            to choose, all are commented out.
        kind: what is undecided. Code tests this, never the wording of the question.
    """

    field: str
    question: str
    lines: tuple[str, ...]
    kind: QuestionKind = "other"


@dataclass(frozen=True, slots=True)
class Rules:
    """How cells become values. Every entry can be set in the mapping.

    Attributes:
        date_order: ``YMD``, ``DMY`` or ``MDY`` for dates written in numbers.
        date_format: a strptime format that replaces recognition, or None.
        epoch_unit: ``s``, ``ms``, ``us`` or ``ns`` if times are numbers since 1970, or None.
        time_zone: IANA name of the zone for times without an offset.
        step_origin: RFC 3339 instant of step 0; ``step_unit`` is ``second``, ``minute``, ``hour`` or ``day``.
        sign: ``as_is``, ``negate``, ``direction`` (by the direction column) or ``pair`` (debit and credit columns).
        debit_negative: True if the debit column already has minus signs.
        credit_negative: True if the credit column has minus signs, as on some card statements. It is money in anyway.
        clock_digits: what a bare number in the column of the time of day means: ``HHMMSS``, ``HHMM`` or ``HH``.
        amount_unit: ``major`` or ``minor`` (integer cents).
        id_rule: ``columns`` or ``derived``.
        amount_affix: text around the numbers of amounts, which is ignored, or None.
        round_to: digits after the point that amounts are rounded to, half to even, or None.
        year: the year of dates without one, or None.
        year_from: (month, year) in which a file with such dates begins, or None.
        ambiguous: ``earlier``, ``later`` or ``refuse``: what happens to a local time that occurs twice or not at all.
        currency: code that follows from the amounts' currency sign or from the header; ``""`` if the sign is that of
            several countries; None if only the sign in a row says what its currency is.
        open_rules: names of rules that nothing in the beginning decides. The first cell that needs such a rule decides
            it, or stops the load with the question.
    """

    date_order: str = "YMD"
    date_format: str | None = None
    epoch_unit: str | None = None
    time_zone: str = "UTC"
    step_origin: str | None = None
    step_unit: str = "hour"
    decimal_mark: str = "."
    thousands_mark: str = ""
    sign: str = "as_is"
    debit_negative: bool = False
    credit_negative: bool = False
    amount_unit: str = "major"
    amount_affix: Affix | None = None
    round_to: int | None = None
    year: int | None = None
    year_from: tuple[int, int] | None = None
    ambiguous: str = "earlier"
    # Not in the text of the rules, which is part of the names of earlier loads.
    clock_digits: str = field(default="HHMMSS", repr=False)
    id_rule: str = "columns"
    id_prefix: str = ""
    currency: str | None = None
    constants: Mapping[str, str] = field(default_factory=dict)
    skip_rows: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    debit_words: tuple[str, ...] = ()
    credit_words: tuple[str, ...] = ()
    neutral_words: tuple[str, ...] = ()
    open_rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FilePlan:
    """The mapping of one file, found or given.

    Attributes:
        source: the name that derived ids start from: the section's name, or a fingerprint of the header.
        section: the section of the mapping file that applies, or None.
        uses: role -> columns; roles are the record's fields and their parts (see ``vocabulary.ROLES``).
        attributes: columns that fill no field and are kept in ``attributes``.
        undecided: open questions. While there is one, the file must not be loaded.
        id_columns: columns whose cells make a derived id, in that order; ``()``: all of them. A column that this file
            does not have counts as empty.
        id_day: the one of these columns whose day derived ids begin with; None if they begin with no day, as those of
            earlier releases.
        id_encoding: encoding in which an earlier release read the cells of its ids; None if the ids are made of the
            cells as they are read now.
        canonical: True if the header is ours and every cell is already a canonical value. Nothing is converted then.
    """

    dialect: Dialect
    source: str
    section: str | None
    uses: Mapping[str, ColumnUse]
    rules: Rules
    attributes: tuple[str, ...] = ()
    undecided: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()
    id_columns: tuple[str, ...] = ()
    id_day: str | None = None
    id_encoding: str | None = None
    canonical: bool = False

    @property
    def roles_read(self) -> tuple[str, ...]:
        """The roles that conversion reads. Columns of any other role stay in ``attributes``."""
        return roles_read(self.uses, self.rules)

    @property
    def ids_left_out(self) -> tuple[str, ...]:
        """The columns that derived ids leave out, because they change from export to export."""
        return tuple(name for name in self.dialect.columns if name not in self.id_columns) if self.id_columns else ()

    @property
    def derives_ids(self) -> bool:
        """True if ids are made of cells and occurrence numbers. A resumed load then has to count earlier rows again."""
        return not self.canonical and self.rules.id_rule == "derived"


def field_of(role: str) -> str:
    """Returns the field that a role fills, alone or with others."""
    return next((name for name, parts in PARTS_OF.items() if role in parts), role)


def has_year(date_format: str) -> bool:
    """True if a strptime format contains a year. Without one, strptime assumes 1900."""
    return re.search(r"%[-#]?[YyGcxsD]", date_format) is not None


def roles_read(uses: Mapping[str, ColumnUse], rules: Rules) -> tuple[str, ...]:
    """Returns the roles that conversion reads, in the order in which their columns are joined.

    A mapping may name columns for roles that exclude each other, such as ``amount`` and ``debit``. Only one is read.
    """
    if "occurred_at" in rules.constants:
        when: tuple[str, ...] = ()
    elif "step" in uses:
        when = ("step",)
    elif "year" in uses:
        when = ("year", "month", "day", "time", "time_zone")
    else:
        when = ("occurred_at", "date", "time", "time_zone")
    how_much: tuple[str, ...] = ("debit", "credit") if rules.sign == "pair" else ("amount", "quantity")
    if rules.sign == "direction":
        how_much += ("direction",)
    own_id = ("transaction_id",) if rules.id_rule == "columns" else ()
    others = tuple(role for role in uses if role in FIELD_NAMES and role not in REQUIRED_FIELDS)
    return tuple(role for role in (*when, *how_much, *own_id, *others) if role in uses)


def columns_in_fields(uses: Mapping[str, ColumnUse], rules: Rules) -> frozenset[str]:
    """Returns the columns whose whole content goes into a field, so that ``attributes`` need not keep it."""
    read = roles_read(uses, rules)
    kept_as_factors = {"quantity", "amount"} if "quantity" in read else set()
    whole: set[str] = set()
    for role in read:
        if role != "step" and role not in kept_as_factors:
            whole.update(uses[role].columns if role in JOINED_ROLES else uses[role].columns[:1])
    return frozenset(whole)
