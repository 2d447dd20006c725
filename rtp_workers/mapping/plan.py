"""The FilePlan: everything that is known, assumed or still open about one CSV before a row is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rtp_workers.mapping.cells.affixes import Affix
from rtp_workers.record.transaction import FIELD_NAMES, FIELDS

REQUIRED_FIELDS = frozenset(field.name for field in FIELDS if field.required)
# Roles whose columns are all read and joined. Of any other role the first column counts, or the first that is filled.
JOINED_ROLES = frozenset({"occurred_at", "date", "time", "transaction_id", "attributes"})


QuestionKind = Literal["day_order", "no_time", "year", "id", "other"]


@dataclass(frozen=True, slots=True)
class Given:
    """What the mapping or the command line says about the dialect; None leaves it to be found.

    Attributes:
        escapes: a backslash escapes the character after it.
        header_line: 0 says that there is no header.
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
        encoding: Python codec name; ``utf-8-sig`` where there is a byte order mark.
        delimiter: one character.
        quotechar: one character.
        header_line: physical line (1-based) of the header; 0 where the file has none.
        first_data_line: physical line of the first row after the header (or of the file's first row).
        columns: a unique name per cell of a data row, in order; ``column 3`` where the file names none.
        header_cells: the header as the file writes it, ``()`` without a header.
        escapes: a backslash escapes the character after it, as MySQL and PostgreSQL's COPY write it.
        encoding_is_open: the beginning holds ASCII only, which fits nearly every encoding.
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

    @property
    def row_width(self) -> int:
        """Cells of every data row; a row of another width is ragged and refused."""
        return len(self.columns)


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """One role (a record field or a part of one, such as ``debit``) and the columns that fill it.

    Attributes:
        columns: column names, in the order in which they are joined.
        confidence: 0..1; 1.0 is the mapping's own word.
        why: ``name``, ``values``, ``name and values`` or ``mapping``, with what was seen.
    """

    role: str
    columns: tuple[str, ...]
    confidence: float
    why: str


@dataclass(frozen=True, slots=True)
class Question:
    """What could not be decided, and the mapping lines (TOML, to add to the file's section) that decide it.

    Attributes:
        field: the record's field that stays open.
        lines: alternatives are commented out; the first line is the likeliest.
        kind: what is undecided. Code tests this, never the wording of the question.
    """

    field: str
    question: str
    lines: tuple[str, ...]
    kind: QuestionKind = "other"


@dataclass(frozen=True, slots=True)
class Rules:
    """How cells become values; every entry can be set in the mapping.

    Attributes:
        date_order: ``YMD``, ``DMY`` or ``MDY`` for dates written in numbers.
        date_format: a strptime format that replaces recognition, or None.
        epoch_unit: ``s``, ``ms`` or ``us`` where time is a number since 1970, or None.
        time_zone: IANA name of times that carry no offset.
        step_origin: RFC 3339 instant of step 0; ``step_unit`` is ``second``, ``minute``, ``hour`` or ``day``.
        sign: ``as_is``, ``negate``, ``direction`` (by the direction column) or ``pair`` (debit and credit columns).
        debit_negative: the debit column already carries minus signs.
        credit_negative: the credit column carries minus signs, as a card's statement may: money in all the same.
        amount_unit: ``major`` or ``minor`` (integer cents).
        id_rule: ``columns`` or ``derived``.
        amount_affix: text around the numbers of amounts, which is not read, or None.
        round_to: digits after the point that amounts are rounded to, half to even, or None.
        year: the year of dates that carry none, or None.
        year_from: (month, year) in which a file of such dates begins, or None.
        ambiguous: ``earlier``, ``later`` or ``refuse``: what happens to a local time that occurs twice or not at all.
        currency: code that the amounts' sign or the header's text gives, or None.
        open_rules: names of rules that nothing in the beginning decides. The first cell that needs one decides it, or
            stops the load with the question.
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
        source: name that derived ids start from: the section's, or a fingerprint of the header.
        section: the section of the mapping file that applied, or None.
        uses: role -> columns; roles are the record's fields and their parts (see ``vocabulary.ROLES``).
        attributes: columns without a field, kept in ``attributes``.
        undecided: the file must not be loaded while this is not empty.
        id_columns: columns whose cells make a derived id, in that order; ``()``: all of them. One that this file does
            not have counts as empty.
        id_encoding: encoding in which an earlier release read the cells that its ids are made of; None where the ids
            are made of the cells as they are read now.
        canonical: the header is ours and every cell is already a canonical value: conversion is the identity.
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
    id_encoding: str | None = None
    canonical: bool = False

    @property
    def roles_read(self) -> tuple[str, ...]:
        """The roles that conversion reads; what fills any other role stays in ``attributes``."""
        return roles_read(self.uses, self.rules)

    @property
    def ids_left_out(self) -> tuple[str, ...]:
        """The columns that derived ids leave out, because they change from export to export."""
        return tuple(name for name in self.dialect.columns if name not in self.id_columns) if self.id_columns else ()

    @property
    def derives_ids(self) -> bool:
        """True where ids come from cells and occurrence numbers: a resumed load must count the earlier rows again."""
        return not self.canonical and self.rules.id_rule == "derived"


def has_year(date_format: str) -> bool:
    """True where a strptime format reads a year; without one, strptime takes 1900."""
    return re.search(r"%[-#]?[YyGcxsD]", date_format) is not None


def roles_read(uses: Mapping[str, ColumnUse], rules: Rules) -> tuple[str, ...]:
    """Returns the roles that conversion reads, in the order in which their columns are joined.

    A mapping may fill roles that exclude each other, such as ``amount`` and ``debit``: only one of them is read.
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
    """Returns the columns whose whole content goes into a field: ``attributes`` need not keep them."""
    read = roles_read(uses, rules)
    kept_as_factors = {"quantity", "amount"} if "quantity" in read else set()
    whole: set[str] = set()
    for role in read:
        if role != "step" and role not in kept_as_factors:
            whole.update(uses[role].columns if role in JOINED_ROLES else uses[role].columns[:1])
    return frozenset(whole)
