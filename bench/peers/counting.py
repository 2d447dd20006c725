"""What a contestant lost, stored twice or stored wrongly: its rows against the records that it was given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import msgspec

from rtp_workers.record.transaction import Transaction

FIELDS = (
    "transaction_id", "occurred_at", "amount", "customer_id", "merchant", "category", "currency", "payment_method",
    "status", "country",
)  # fmt: skip


@dataclass(frozen=True)
class Count:
    """The difference between what must be stored and what is.

    Attributes:
        lost: records without a row.
        twice: rows more than one for a record.
        changed: rows whose content is not that of the first record with their id.
        foreign: rows of records that had to be refused.
    """

    lost: int = 0
    twice: int = 0
    changed: int = 0
    foreign: int = 0

    @property
    def is_exact(self) -> bool:
        """Returns whether every record is stored once, as it was."""
        return self == Count()


def expected(values: Iterable[bytes]) -> dict[str, tuple[object, ...]]:
    """Returns the content of good records by id; of two with one id, the first."""
    decode = msgspec.json.Decoder(Transaction).decode
    content: dict[str, tuple[object, ...]] = {}
    for value in values:
        record = decode(value)
        texts = (getattr(record, name) for name in FIELDS[3:])
        row = (record.transaction_id, datetime.fromisoformat(record.occurred_at), Decimal(record.amount), *texts)
        content.setdefault(record.transaction_id, row)
    return content


def compare(wanted: Mapping[str, tuple[object, ...]], found: Sequence[tuple[object, ...]]) -> Count:
    """Compares rows, whose first column is the id, with what must be stored."""
    seen: dict[str, tuple[object, ...]] = {}
    twice = 0
    for row in found:
        name = str(row[0])
        twice += name in seen
        seen[name] = row
    return Count(
        lost=len(wanted.keys() - seen.keys()),
        twice=twice,
        changed=sum(1 for name, row in seen.items() if name in wanted and row != wanted[name]),
        foreign=len(seen.keys() - wanted.keys()),
    )
