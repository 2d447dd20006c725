"""Records of a topic -> the same COPY lines that our own records give.

The code that reads a CSV's cells (`rtp_workers.mapping`) reads these cells too, column by column. Plain JSON of a known
layout and Avro take a fast path to their cells (`json_rows`, `avro_rows`). Every unusual record takes the careful path,
through a document. Both paths give the same row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol

from rtp_workers.mapping.cells.amounts import shifted
from rtp_workers.mapping.cells.minor_units import USUAL_DIGITS, minor_digits
from rtp_workers.mapping.rows.how_much import HowMuch
from rtp_workers.mapping.rows.instants import ODDITIES, Instants, NoInstantError
from rtp_workers.mapping.rows.text_fields import FieldCells, text_field_names
from rtp_workers.record.copy_text import Refusal
from rtp_workers.record.documents import Document, canonical_bytes, encode_json
from rtp_workers.topics.avro_rows import AvroRows
from rtp_workers.topics.copy_lines import Refused, attributes_of, check_record, copy_lines
from rtp_workers.topics.envelopes import NotAnInsertError
from rtp_workers.topics.extract import Extractor, texts_of
from rtp_workers.topics.json_rows import JsonRows, Rows
from rtp_workers.topics.layout import layout_of
from rtp_workers.topics.paths import put_at
from rtp_workers.topics.plan import TopicPlan
from rtp_workers.topics.reading import MAGIC, DocumentReader, Schemas

DERIVED_ID_BYTES = 16
LOOKED_AT = 10  # how many values of a batch decide which path is tried
NO_TIMESTAMP = 0  # confluent_kafka.TIMESTAMP_NOT_AVAILABLE
AMOUNTS = ("amount", "debit", "credit", "quantity")
CLOCK_CHANGES = frozenset(f"occurred_at_{oddity}" for oddity in ODDITIES)
HOW_TO_STORE = '; with ambiguous = "earlier" or "later" in the section it becomes a row'
END_MS = 4_133_980_800_000  # 2101-01-01T00:00:00Z

Columns = list[list[str]]
Extract = Callable[[Sequence[Document]], list[list[Any]]]


class Placed(Protocol):
    """A record's place and timestamp in Kafka."""

    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def timestamp(self) -> tuple[int, int]: ...


@dataclass(slots=True)
class Mapped:
    """A converted batch.

    Attributes:
        lines: for each message, one COPY line with the record's own fields, without a line end; or None.
        refusals: records that become dead letters.
        skipped: positions of records that the section says to skip.
        careful: how many records took the careful path.
    """

    lines: list[str | None]
    refusals: list[Refusal] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    careful: int = 0


class TopicConverter:
    """Converts the records of one topic. Not thread-safe.

    Args:
        plan: a plan without open questions.
        schemas: the schema registry; None if none is set.
        topic_id: Kafka's id of the topic, which is part of ids by offset.
        generation: returns the generation of a partition's log, which is part of ids by offset.
    """

    def __init__(
        self,
        plan: TopicPlan,
        schemas: Schemas | None = None,
        topic_id: str = "",
        generation: Callable[[int], int] = lambda kafka_partition: 0,
    ) -> None:
        self.plan = plan
        self._topic_id, self._generation = topic_id, generation
        self._reader = DocumentReader(schemas)
        mapping = plan.mapping
        self._names = mapping.dialect.columns
        self._extractor = Extractor(plan.paths, [name in plan.stays for name in self._names], plan.dropped)
        where = {name: at for at, name in enumerate(self._names)}
        self._instants = None if plan.time_from_kafka else Instants(mapping)
        self._how_much = HowMuch(mapping, where)
        self._fields = {name: FieldCells(name, mapping, where) for name in text_field_names()}
        self._shown = [name for name, cells in self._fields.items() if cells.may_be_filled]
        self._at = {role: [where[name] for name in mapping.uses[role].columns] for role in mapping.roles_read}
        self._needed = {at for role, places in self._at.items() if role not in self._fields for at in places}
        # Where texts have a comma, JSON's own numbers still have a point. Only whole documents tell which is which.
        has_comma = mapping.rules.decimal_mark == ","
        self._comma = {at for role in AMOUNTS for at in self._at.get(role, ())} if has_comma else set()
        texts = [plan.paths[at] for at in self._comma]
        layout = layout_of(plan.paths, self._extractor.takes, plan.dropped, texts)
        if plan.id_rule == "derived":
            layout = None  # such an id needs the whole document
        self._json = JsonRows(layout)
        is_quick = layout is not None and not self._comma
        self._avro = AvroRows(schemas, plan.paths, plan.dropped) if schemas is not None and is_quick else None

    def lines(self, values: Sequence[bytes | None], records: Sequence[Placed]) -> Mapped:
        """Converts a batch.

        Args:
            values: the records' bodies.
            records: the records, in the same order.

        Raises:
            TransientError: the schema registry is away; nothing is decided.
            AttentionError: the registry needs a person.
        """
        result = Mapped([None] * len(values))
        short = sum(self._add_rows(result, rows, records) for rows in self._rows(values))
        if short == len(values):
            return result
        left = [index for index, line in enumerate(result.lines) if line is None] if short else range(len(values))
        result.careful = len(left)
        self._read_documents(result, left, [values[index] for index in left], [records[index] for index in left])
        result.refusals.sort(key=lambda refusal: refusal.index)
        return result

    def record(self, value: bytes | None, placed: Placed) -> dict[str, Any]:
        """Returns the fields of one record, with ``attributes`` as JSON bytes. `lines` must agree with this.

        Raises:
            RecordError: the record breaks a rule, or is not an insert (`NotAnInsertError`).
            TransientError: the schema registry is away.
            AttentionError: the registry needs a person.
        """
        document = self._reader.read(value)
        refused: Refused = {}
        columns = self._columns_of([document], [placed], self._extractor.one_by_one, refused)
        fields: dict[str, Any] = check_record(columns, document, refused)
        return {**fields, "attributes": encode_json(document)} if document else fields

    def _rows(self, values: Sequence[bytes | None]) -> Iterable[Rows]:
        """Returns the records that can take a fast path. The first values of the batch decide the format."""
        if self._avro is not None and any(value and value[:1] == MAGIC for value in values[:LOOKED_AT]):
            return self._avro.read(values)
        return (self._json.read(values),)

    def _add_rows(self, result: Mapped, rows: Rows, records: Sequence[Placed]) -> int:
        """Fills in the lines of rows that break no rule. Returns how many there are."""
        if not rows.places:
            return 0
        refused: Refused = {}
        leftovers: dict[int, dict[str, str]] = {}
        placed = records if len(rows.places) == len(records) else [records[index] for index in rows.places]
        columns = self._columns(rows.cells, placed, None, refused, leftovers)
        lines: Sequence[str | None] = copy_lines(columns, lambda: rows.attributes, refused)
        if refused or leftovers:
            lines = [None if at in refused or at in leftovers else line for at, line in enumerate(lines)]
        if placed is records:
            result.lines[:] = lines
        else:
            for index, line in zip(rows.places, lines, strict=True):
                result.lines[index] = line
        return len(lines) - len(refused.keys() | leftovers.keys())

    def _read_documents(
        self, result: Mapped, places: Sequence[int], values: Sequence[bytes | None], records: Sequence[Placed]
    ) -> None:
        """Fills in the line, the refusal or the skip of each of these records.

        Args:
            places: positions of these records in the result.
        """
        read = self._reader.read_all(values)
        for index, error in read.errors.items():
            if isinstance(error, NotAnInsertError) and self.plan.skips_changes:
                result.skipped.append(places[index])
            else:
                result.refusals.append(Refusal(places[index], error.reason, error.detail))
        found = [index for index, document in enumerate(read.found) if document is not None]
        if found:
            documents = [document for document in read.found if document is not None]
            self._json.learn(documents, len(result.lines))
            self._add(result, [places[index] for index in found], documents, [records[index] for index in found])

    def _add(
        self, result: Mapped, places: Sequence[int], documents: Sequence[Document], records: Sequence[Placed]
    ) -> None:
        refused: Refused = {}
        columns = self._columns_of(documents, records, self._extractor.columns, refused)
        lines = copy_lines(columns, lambda: attributes_of(documents, refused), refused)
        for index, line in zip(places, lines, strict=True):
            result.lines[index] = line
        for index, (reason, detail) in refused.items():
            result.lines[places[index]] = None
            result.refusals.append(Refusal(places[index], reason, detail))

    def _columns_of(
        self, documents: Sequence[Document], records: Sequence[Placed], extract: Extract, refused: Refused
    ) -> dict[str, Sequence[str]]:
        """Returns the fields of the documents. A value that fits no field stays in its document."""
        derived = self._derived(documents)
        values = extract(documents)
        cells = [self._cells(at, column, documents, refused) for at, column in enumerate(values)]
        leftovers: dict[int, dict[str, str]] = {}
        columns = self._columns(cells, records, derived, refused, leftovers)
        for index, texts_left in leftovers.items():
            for at in map(self._names.index, texts_left):
                self._put_back(documents[index], at, values[at][index])
        return columns

    def _columns(
        self,
        cells: Columns,
        records: Sequence[Placed],
        derived: list[str] | None,
        refused: Refused,
        leftovers: dict[int, dict[str, str]],
    ) -> dict[str, Sequence[str]]:
        """Returns one column of texts per field, ``""`` for null. Cells that fit no field go into ``leftovers``."""
        found: dict[str, Sequence[str]] = {
            "transaction_id": self._ids(cells, records, refused) if derived is None else derived,
            "occurred_at": self._times(cells, records, refused),
        }
        found["amount"], signs = self._how_much.read(cells, refused)
        found |= {name: self._fields[name].read(cells, leftovers, refused) for name in self._shown}
        if signs and "currency" not in found:
            found["currency"] = signs
        if self.plan.mapping.rules.amount_unit == "minor" and "currency" in found:
            found["amount"] = list(map(_in_minor_units_of, found["amount"], found["currency"]))
        return found

    def _cells(self, at: int, column: Sequence[Any], documents: Sequence[Document], refused: Refused) -> list[str]:
        """Returns the values as texts. An object or a list stays in its document, or refuses the record."""
        cells, without = texts_of(column)
        if at in self._comma:
            values = zip(cells, column, strict=True)
            cells = [cell if isinstance(value, str) else cell.replace(".", ",") for cell, value in values]
        for index in without:
            if at in self._needed:
                detail = f"{self._names[at]} is an object or a list; the mapping must name a path inside it"
                refused.setdefault(index, ("path_not_a_value", detail))
            else:
                self._put_back(documents[index], at, column[index])
        return cells

    def _put_back(self, document: Document, at: int, value: Any) -> None:
        if self._extractor.may_return[at]:
            put_at(document, self.plan.paths[at], value)

    def _derived(self, documents: Sequence[Document]) -> list[str] | None:
        if self.plan.id_rule != "derived":
            return None
        return [_digest(self.plan.mapping.source, document) for document in documents]

    def _ids(self, cells: Columns, records: Sequence[Placed], refused: Refused) -> list[str]:
        prefix = self.plan.mapping.rules.id_prefix
        if self.plan.id_rule == "offset":
            return [prefix + offset_id(self._topic_id, self._generation, record) for record in records]
        parts = [cells[at] for at in self._at["transaction_id"]]
        for part in parts:
            if "" in part:
                for index in [index for index, text in enumerate(part) if not text]:
                    refused.setdefault(index, ("transaction_id_missing", "the record has no id"))
        found = parts[0] if len(parts) == 1 else list(map("/".join, zip(*parts, strict=True)))
        return [prefix + text for text in found] if prefix else found

    def _times(self, cells: Columns, records: Sequence[Placed], refused: Refused) -> list[str]:
        if self._instants is None:
            return [_kafka_time(index, record, refused) for index, record in enumerate(records)]
        constant = self.plan.mapping.rules.constants.get("occurred_at")
        if constant is not None:
            return [constant] * len(records)
        found: list[str] = []
        for index, answer in enumerate(self._instants.read([cells[at] for at in self._instants.columns])):
            if isinstance(answer, NoInstantError):
                hint = HOW_TO_STORE if answer.reason in CLOCK_CHANGES else ""
                refused.setdefault(index, (answer.reason, f"{answer}{hint}"))
            found.append(answer if isinstance(answer, str) else "")
        return found


def offset_id(topic_id: str, generation: Callable[[int], int], record: Placed) -> str:
    """Returns an id made from the record's place in Kafka, which no other record ever has."""
    kafka_partition = record.partition()
    return f"{topic_id}/{generation(kafka_partition)}/{kafka_partition}/{record.offset()}"


def _in_minor_units_of(amount: str, currency: str) -> str:
    """Corrects an amount that was read as cents to the minor units of its currency: a yen has none."""
    digits = minor_digits(currency)
    return amount if digits == USUAL_DIGITS or not amount else shifted(amount, USUAL_DIGITS - digits)


def _digest(source: str, document: Document) -> str:
    """Returns an id made from the record's content. The order of its members does not matter."""
    content = source.encode() + b"\x1f" + canonical_bytes(document)
    return hashlib.blake2b(content, digest_size=DERIVED_ID_BYTES).hexdigest()


def _kafka_time(index: int, record: Placed, refused: Refused) -> str:
    kind, milliseconds = record.timestamp()
    if kind == NO_TIMESTAMP or not 0 <= milliseconds < END_MS:
        refused.setdefault(
            index, ("occurred_at_missing", f"the record has no usable timestamp in Kafka ({milliseconds} ms)")
        )
        return ""
    seconds, fraction = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{fraction:03d}Z"


@lru_cache(maxsize=10_000)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
