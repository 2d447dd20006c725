"""Rows of a foreign file -> rows of canonical cells, column by column, and the refused rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

from rtp_workers.mapping.cells import dates
from rtp_workers.mapping.cells.texts import BLANK, PADDING, recoded
from rtp_workers.mapping.cells.words import is_balance_line, looks_like_balance_line, may_hold_balance_line
from rtp_workers.mapping.plan import FilePlan
from rtp_workers.mapping.rows.how_much import HowMuch
from rtp_workers.mapping.rows.instants import Instants, NoInstantError
from rtp_workers.mapping.rows.text_fields import FieldCells, text_field_names
from rtp_workers.record.transaction import FIELD_NAMES, MAX_ATTRIBUTES_BYTES

if TYPE_CHECKING:
    from rtp_workers.mapping.rows.ids import DerivedIds, OccurrenceCounter

Cells = Sequence[Sequence[str]]
_ENCODER = msgspec.json.Encoder()
SAFE_LENGTH = MAX_ATTRIBUTES_BYTES // 5  # characters: within the limit even with four bytes each, and blanks


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is not loaded: its position among the given rows, a stable code and one sentence."""

    index: int
    reason: str
    detail: str


@dataclass(slots=True)
class Converted:
    """Canonical rows and refusals.

    Attributes:
        rows: cells in the order of `Converter.columns`; ``""`` is null; ``attributes`` is JSON within its limits.
        kept: the position of each converted row among the given rows.
        refused: the refused rows, by position.
    """

    rows: list[tuple[str, ...]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class Converter:
    """Converts the rows of one file, in file order. Not thread-safe.

    Args:
        plan: a plan without open questions.
        counter: counts identical rows for derived ids; None: in memory only, which suits a sample.

    Attributes:
        columns: the fields of each converted row, in the record's order.
    """

    def __init__(self, plan: FilePlan, counter: OccurrenceCounter | None = None) -> None:
        self._plan = plan
        self._where = {name: at for at, name in enumerate(plan.dialect.columns)}
        self._header = tuple(cell.strip() for cell in plan.dialect.header_cells)
        self._instants = Instants(plan)
        self._how_much = HowMuch(plan, self._where)
        self._fields = {name: FieldCells(name, plan, self._where) for name in text_field_names()}
        self._kept_columns = [(name, self._where[name]) for name in plan.attributes]
        self._base = self._where[plan.uses["attributes"].columns[0]] if "attributes" in plan.uses else None
        self._shown = [name for name in self._fields if self._fields[name].may_be_filled or name == "currency"]
        has_attributes = bool(self._kept_columns) or self._base is not None or bool(self._shown)
        names = {"transaction_id", "occurred_at", "amount", *self._shown, *(["attributes"] if has_attributes else [])}
        self.columns = tuple(name for name in FIELD_NAMES if name in names)
        # Any column except dates, amounts and ids may show that the row is a balance. Where rows have no dates, which
        # lines of totals lack, so may an id.
        ids = ("transaction_id", "customer_id") if "occurred_at" in plan.rules.constants else ()
        named = {name for role, use in plan.uses.items() if role not in ids for name in use.columns}
        spoken = {name for role in ("merchant", "category") if role in plan.uses for name in plan.uses[role].columns}
        self._texts_at = [at for name, at in self._where.items() if name not in named or name in spoken]
        dated = [plan.uses[role].columns[0] for role in ("occurred_at", "date") if role in plan.roles_read]
        self._date_columns = [(name, self._where[name]) for name in dated]
        self._ids = derived_ids(plan, counter) if plan.derives_ids else None
        self._id_columns = [] if self._ids else [self._where[name] for name in plan.uses["transaction_id"].columns]

    def count(self, rows: Cells) -> None:
        """Counts rows that were loaded before, so that a resumed load gives its rows the right ids."""
        if self._ids is not None:
            self._ids.ids(rows)

    def convert(self, rows: Cells) -> Converted:
        """Converts rows, which must all have the plan's width."""
        converted = Converted()
        if not rows:
            return converted
        columns: list[Sequence[str]] = list(zip(*rows, strict=True))
        refused = self._form_refusals(rows, columns)
        ids = self._ids.ids(rows) if self._ids is not None else self._own_ids(columns, refused)
        instants = self._times(rows, columns, refused)
        sums, signs = self._how_much.read(columns, refused)
        fields, leftovers = self._texts(columns, signs, refused)
        self._keep_other_dates(columns, leftovers)
        lists = [ids, instants, sums, *(fields[name] for name in self._shown)]
        if "attributes" in self.columns:
            lists.append(self._attributes(columns, leftovers, refused))
        self._name_balance_lines(rows, refused)
        ordered = zip(*lists, strict=True)
        if not refused:
            converted.rows = list(ordered)
            converted.kept = list(range(len(rows)))
            return converted
        for index, row in enumerate(ordered):
            if index not in refused:
                converted.rows.append(row)
                converted.kept.append(index)
        converted.refused = [Refused(index, *refused[index]) for index in sorted(refused)]
        return converted

    def _form_refusals(self, rows: Cells, columns: Cells) -> dict[int, tuple[str, str]]:
        """Returns the rows that are not transactions by their form: repeated headers, balances, skipped rows."""
        refused: dict[int, tuple[str, str]] = {}
        for at in self._texts_at:
            if not may_hold_balance_line(columns[at]):
                continue
            lines = {cell for cell in set(columns[at]) if looks_like_balance_line(cell)}
            for index, cell in enumerate(columns[at]) if lines else ():
                if cell in lines:
                    refused[index] = ("balance_line", f"{cell.strip()[:60]!r} is a balance, not a transaction")
        if self._header:
            first = self._header[0]
            for index, cell in enumerate(columns[0]):
                if cell.strip() == first and tuple(other.strip() for other in rows[index]) == self._header:
                    refused[index] = ("repeated_header", "the row repeats the header")
        for start in self._plan.rules.skip_rows:
            for index, row in enumerate(rows):
                if any(cell.strip().startswith(start) for cell in row):
                    refused[index] = ("skipped_by_mapping", f"a cell starts with {start!r}, which the mapping skips")
        return refused

    def _times(self, rows: Cells, columns: Cells, refused: dict[int, tuple[str, str]]) -> list[str]:
        constant = self._plan.rules.constants.get("occurred_at")
        if constant is not None:
            return [constant] * len(rows)
        answers = self._instants.read([columns[at] for at in self._instants.columns])
        found = []
        for index, answer in enumerate(answers):
            if isinstance(answer, NoInstantError):
                refused.setdefault(index, (answer.reason, str(answer)))
                found.append("")
            else:
                found.append(answer)
        return found

    def _own_ids(self, columns: Cells, refused: dict[int, tuple[str, str]]) -> list[str]:
        prefix = self._plan.rules.id_prefix
        parts = [[cell.strip(PADDING) for cell in columns[at]] for at in self._id_columns]
        found = parts[0] if len(parts) == 1 else ["/".join(part) for part in zip(*parts, strict=True)]
        for index, part in enumerate(parts[-1]):
            if not part:
                refused.setdefault(index, ("transaction_id_missing", "the row has no id"))
        return [prefix + value for value in found] if prefix else found

    def _texts(
        self, columns: Cells, signs: Sequence[str], refused: dict[int, tuple[str, str]]
    ) -> tuple[dict[str, list[str]], dict[int, dict[str, str]]]:
        """Returns the text fields and, by row, the cells that fit no field and go into ``attributes``."""
        leftovers: dict[int, dict[str, str]] = {}
        found = {name: self._fields[name].read(columns, leftovers, refused) for name in self._shown}
        if signs and "currency" not in self._plan.uses and "currency" not in self._plan.rules.constants:
            default = self._plan.rules.currency
            found["currency"] = [sign if default is None else default for sign in signs]
        return found, leftovers

    def _keep_other_dates(self, columns: Cells, leftovers: dict[int, dict[str, str]]) -> None:
        """Keeps cells that contain a second date besides the stored one."""
        for name, at in self._date_columns:
            if dates.OTHER_DATE.search("\n".join(columns[at])) is None:
                continue
            for index, cell in enumerate(columns[at]):
                if dates.OTHER_DATE.search(cell) is not None:
                    leftovers.setdefault(index, {})[name] = cell.strip(BLANK)

    def _attributes(
        self, columns: Cells, leftovers: dict[int, dict[str, str]], refused: dict[int, tuple[str, str]]
    ) -> list[str]:
        parts = [_members(name, columns[at]) for name, at in self._kept_columns]
        bodies = list(map("".join, zip(*parts, strict=True))) if parts else [""] * len(columns[0])
        for index, cells in leftovers.items():
            bodies[index] += "".join(_member(name, text) for name, text in cells.items())
        found = [f"{{{body[:-1]}}}" if body else "" for body in bodies]
        if self._base is not None:
            found = [
                self._merged(cell, text, index, refused)
                for index, (cell, text) in enumerate(zip(columns[self._base], found, strict=True))
            ]
        for index, text in enumerate(found):
            if len(text) > SAFE_LENGTH or "\\u0000" in text:
                self._check_attributes(text, index, refused)
        return found

    def _merged(self, cell: str, text: str, index: int, refused: dict[int, tuple[str, str]]) -> str:
        """Returns the file's own attributes, extended by the columns that have no field."""
        if not cell.strip():
            return text
        members = self._given_attributes(cell, index, refused)
        members.update(msgspec.json.decode(text, type=dict[str, Any]) if text else {})
        return _ENCODER.encode(members).decode()

    @staticmethod
    def _given_attributes(cell: str, index: int, refused: dict[int, tuple[str, str]]) -> dict[str, Any]:
        try:
            return msgspec.json.decode(cell, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError) as error:
            refused.setdefault(index, ("attributes_object", f"attributes is not a JSON object: {error}"))
            return {}

    @staticmethod
    def _check_attributes(text: str, index: int, refused: dict[int, tuple[str, str]]) -> None:
        # The limit is defined by json.dumps, which writes blanks that this compact form lacks.
        size = len(json.dumps(msgspec.json.decode(text), ensure_ascii=False).encode())
        if size > MAX_ATTRIBUTES_BYTES:
            detail = f"the columns without a field have {size:,} bytes; 8,192 are allowed: drop some in the mapping"
            refused.setdefault(index, ("attributes_size", detail))
        if "\\u0000" in text:
            refused.setdefault(index, ("nul_in_text", "a cell contains U+0000, which no text column can store"))

    @staticmethod
    def _name_balance_lines(rows: Cells, refused: dict[int, tuple[str, str]]) -> None:
        """Corrects the reason of refused rows that lack a date or an amount because they are blank, or a total."""
        for index, (reason, _) in list(refused.items()):
            if not any(cell.strip(BLANK) for cell in rows[index]):
                refused[index] = ("blank_row", "every cell of the row is empty")
            elif reason.startswith(("occurred_at", "amount")):
                line = next((cell for cell in rows[index] if is_balance_line(cell)), None)
                if line is not None:
                    refused[index] = ("balance_line", f"{line.strip()[:60]!r} is a balance or total, not a transaction")


def _members(name: str, cells: Sequence[str]) -> list[str]:
    """Returns a JSON member followed by a comma for each cell, and an empty text for an empty cell."""
    key = _ENCODER.encode(name).decode() + ":"
    text = "\n".join(cells)
    if text.count("\n") == len(cells) - 1 and _is_plain(text):
        return [f'{key}"{cell}",' if cell else "" for cell in cells]
    table = {cell: _value(key, cell) for cell in set(cells)}
    return list(map(table.__getitem__, cells))


def _value(key: str, cell: str) -> str:
    text = cell.strip(BLANK)
    return f"{key}{_ENCODER.encode(text).decode()}," if text else ""


def _member(name: str, text: str) -> str:
    return _value(_ENCODER.encode(name).decode() + ":", text)


def _is_plain(text: str) -> bool:
    """True if no line needs an escape in JSON, and none has padding."""
    if '"' in text or "\\" in text or "\n " in text or " \n" in text or text[:1] == " " or text[-1:] == " ":
        return False
    return text.replace("\n", "").isprintable()


def derived_ids(plan: FilePlan, counter: OccurrenceCounter | None = None) -> DerivedIds:
    """Returns the object that gives each row of a file its derived id. Without a counter, it counts in memory."""
    # Not imported at the top: it imports numpy, which takes 0.25 s and 25 MB. Files with ids do not need it.
    from rtp_workers.mapping.rows.ids import DerivedIds, OccurrenceCounter

    where = {name: at for at, name in enumerate(plan.dialect.columns)}
    places = [where.get(name) for name in plan.id_columns]
    in_file_order = not places or places == list(range(len(plan.dialect.columns)))
    recode = partial(recoded, read_as=plan.dialect.encoding, earlier=plan.id_encoding) if plan.id_encoding else None
    chosen = None if in_file_order else places
    day = _cell_at(where.get(plan.id_day)) if plan.id_day is not None else None
    return DerivedIds(plan.source, counter or OccurrenceCounter.in_memory(), chosen, recode, day)


def _cell_at(place: int | None) -> Callable[[Sequence[str]], str]:
    return (lambda row: "") if place is None else itemgetter(place)
