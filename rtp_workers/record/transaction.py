"""The Transaction, declared once.

The JSON codec, the table's columns, the COPY column list, the CSV mapping and the docs are all derived from this class.
Adding a field takes one line here and one migration; a test fails if the two disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec

# How a field's values look, which decides how they are checked and which columns of a foreign file can fill it:
# id: unique per row. instant: a time with offset. decimal: an exact number. object: a JSON object.
# party: an account, card or person, a short text that repeats. text: free text that varies.
# choice: a few different short texts. code: a code of fixed form, from a list of codes where there is one.
Kind = Literal["id", "instant", "decimal", "object", "party", "text", "choice", "code"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field's values look like and must satisfy. A named CHECK constraint says the same in the database.

    Attributes:
        kind: how values look; code elsewhere follows the kind, never the field's name.
        pg_type: the column's type.
        meaning: one line for the docs.
        max_length: the most characters allowed, or None.
        min_length: the fewest characters allowed.
        pattern: a pattern that the whole value must match, or None.
        controls: False refuses C0, DEL and C1 control characters.
    """

    kind: Kind
    pg_type: str
    meaning: str
    max_length: int | None = None
    min_length: int = 0
    pattern: str | None = None
    controls: bool = True


MAX_ATTRIBUTES_BYTES = 8192
MAX_SOURCE_LENGTH = 300

Id = Annotated[str, Rule("id", "text", "unique id of the transaction", 64, 1, controls=False)]
Instant = Annotated[str, Rule("instant", "timestamptz", "when it happened: RFC 3339 with offset, 1900 to 2100")]
Decimal = Annotated[
    str, Rule("decimal", "numeric", "exact signed amount, at most 20 digits before and 18 after the point")
]


class Transaction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One transaction, as it goes over the wire: a UTF-8 JSON object, absent fields left out.

    Values are text exactly as they travel: ``occurred_at`` RFC 3339, ``amount`` plain decimal.
    """

    transaction_id: Id
    occurred_at: Instant
    amount: Decimal
    customer_id: Annotated[str | None, Rule("party", "text", "who paid or was paid", 64)] = None
    merchant: Annotated[str | None, Rule("text", "text", "the other side, as the source names it", 500)] = None
    category: Annotated[str | None, Rule("choice", "text", "what it was for", 100)] = None
    currency: Annotated[str | None, Rule("code", "text", "ISO 4217 code", 3, 0, "[A-Z]{3}")] = None
    payment_method: Annotated[str | None, Rule("choice", "text", "card, transfer, cash, ...", 64)] = None
    status: Annotated[str | None, Rule("choice", "text", "booked, declined, refunded, ...", 64)] = None
    country: Annotated[str | None, Rule("code", "text", "ISO 3166 alpha-2 code", 2, 0, "[A-Z]{2}")] = None
    attributes: Annotated[
        dict[str, Any] | None, Rule("object", "jsonb", "what the source knows beyond these fields, at most 8 KB")
    ] = None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the record. A ``required`` field is NOT NULL; an optional one is null where the value is unknown."""

    name: str
    rule: Rule
    required: bool


def _fields() -> tuple[Field, ...]:
    hints = get_type_hints(Transaction, include_extras=True)
    required = set(Transaction.__struct_fields__[: -len(Transaction.__struct_defaults__)])
    return tuple(Field(name, get_args(hints[name])[1], name in required) for name in Transaction.__struct_fields__)


FIELDS: tuple[Field, ...] = _fields()
FIELD_NAMES: tuple[str, ...] = tuple(field.name for field in FIELDS)
RULES: dict[str, Rule] = {field.name: field.rule for field in FIELDS}


def fields_of(*kinds: Kind) -> tuple[str, ...]:
    """Returns the names of the fields of these kinds, kind by kind in the order given."""
    return tuple(field.name for kind in kinds for field in FIELDS if field.rule.kind == kind)


PROVENANCE_COLUMNS: tuple[str, ...] = ("source", "kafka_partition", "kafka_offset", "topic_id", "generation", "load_id")
COPY_COLUMNS: tuple[str, ...] = FIELD_NAMES + PROVENANCE_COLUMNS
