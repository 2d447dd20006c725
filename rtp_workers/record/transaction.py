"""The Transaction, declared once.

JSON codec, table columns, COPY column list, CSV mapping targets, generator output and docs all come from
this class. Adding a field is one line here and one migration; a test fails where the two disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_type_hints

import msgspec


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field's value must satisfy; mirrored by a named CHECK constraint.

    Attributes:
        pg_type: the column's type.
        max_length: characters at most, or None.
        min_length: characters at least.
        pattern: full-match pattern, or None.
        controls: False refuses C0, DEL and C1 control characters.
        meaning: one line for the docs.
    """

    pg_type: str
    meaning: str
    max_length: int | None = None
    min_length: int = 0
    pattern: str | None = None
    controls: bool = True


MAX_ATTRIBUTES_BYTES = 8192
MAX_SOURCE_LENGTH = 300

Id = Annotated[str, Rule("text", "unique id of the transaction", 64, 1, None, controls=False)]
Instant = Annotated[str, Rule("timestamptz", "when it happened: RFC 3339 with offset, 1900 to 2100")]
Decimal = Annotated[str, Rule("numeric", "exact signed amount, at most 20 digits before and 18 after the point")]


class Transaction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One transaction, as it goes over the wire: a UTF-8 JSON object, absent fields left out.

    Values are text exactly as they travel: ``occurred_at`` RFC 3339, ``amount`` plain decimal.
    """

    transaction_id: Id
    occurred_at: Instant
    amount: Decimal
    customer_id: Annotated[str | None, Rule("text", "who paid or was paid", 64)] = None
    merchant: Annotated[str | None, Rule("text", "the other side, as the source names it", 500)] = None
    category: Annotated[str | None, Rule("text", "what it was for", 100)] = None
    currency: Annotated[str | None, Rule("text", "ISO 4217 code", 3, 0, "[A-Z]{3}")] = None
    payment_method: Annotated[str | None, Rule("text", "card, transfer, cash, ...", 64)] = None
    status: Annotated[str | None, Rule("text", "booked, declined, refunded, ...", 64)] = None
    country: Annotated[str | None, Rule("text", "ISO 3166 alpha-2 code", 2, 0, "[A-Z]{2}")] = None
    attributes: Annotated[
        dict[str, Any] | None, Rule("jsonb", "what the source knows beyond these fields, at most 8 KB")
    ] = None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the record. ``required`` fields are NOT NULL; an optional one is null where unknown."""

    name: str
    rule: Rule
    required: bool


def _fields() -> tuple[Field, ...]:
    hints = get_type_hints(Transaction, include_extras=True)
    required = set(Transaction.__struct_fields__[: -len(Transaction.__struct_defaults__)])
    return tuple(Field(name, get_args(hints[name])[1], name in required) for name in Transaction.__struct_fields__)


FIELDS: tuple[Field, ...] = _fields()
FIELD_NAMES: tuple[str, ...] = tuple(field.name for field in FIELDS)
PROVENANCE_COLUMNS: tuple[str, ...] = ("source", "kafka_partition", "kafka_offset", "topic_id", "generation", "load_id")
COPY_COLUMNS: tuple[str, ...] = FIELD_NAMES + PROVENANCE_COLUMNS
