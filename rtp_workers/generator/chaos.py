"""Trouble on demand: duplicate, late and corrupt records, each with its own ratio, and each counted exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from rtp_workers.errors import ConfigError

FRESH, DUPLICATE, LATE, CORRUPT = range(4)


@dataclass(frozen=True, slots=True)
class Chaos:
    """Shares of all records sent, each from 0 to 1. If they add up to more than 1, all are reduced by the same factor.

    Attributes:
        duplicate: sent again with the same key and body. The ledger counts it as a duplicate.
        late: valid, but its time is an hour to three days before its turn in the stream. The ledger counts it as a row.
        corrupt: broken so that no reader can use it. The ledger counts it as a dead letter.
    """

    duplicate: float = 0.0
    late: float = 0.0
    corrupt: float = 0.0

    def __post_init__(self) -> None:
        for name in ("duplicate", "late", "corrupt"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise ConfigError(f"the chaos ratio {name} is {share}; give a number from 0 to 1, e.g. 0.01")

    @property
    def any(self) -> bool:
        """True if at least one ratio is above 0."""
        return self.duplicate + self.late + self.corrupt > 0

    def bounds(self) -> tuple[float, float, float]:
        """Returns the upper ends of duplicate, late and corrupt in [0, 1); everything above them is fresh."""
        whole = max(1.0, self.duplicate + self.late + self.corrupt)
        first, second = self.duplicate / whole, (self.duplicate + self.late) / whole
        return first, second, second + self.corrupt / whole


def _truncated(value: bytes) -> bytes:
    return value[: len(value) // 2]


def _not_utf8(value: bytes) -> bytes:
    return value.replace(b'"merchant":"', b'"merchant":"\xff\xfe', 1)


def _in_a_list(value: bytes) -> bytes:
    return b"[" + value + b"]"


def _without_amount(value: bytes) -> bytes:
    return value.replace(b'"amount"', b'"amout"', 1)


def _amount_not_a_number(value: bytes) -> bytes:
    return value.replace(b'"amount":"', b'"amount":"NaN', 1)


def _epoch_time(value: bytes) -> bytes:
    return value.replace(b'"occurred_at":"', b'"occurred_at":1767225600,"was":"', 1)


def _control_in_id(value: bytes) -> bytes:
    return value.replace(b'"transaction_id":"', b'"transaction_id":"\\u0007', 1)


def _empty(value: bytes) -> bytes:
    return value[:0]


# Each turns any generated body into a dead letter.
CORRUPTIONS: tuple[Callable[[bytes], bytes], ...] = (
    _truncated,
    _not_utf8,
    _in_a_list,
    _without_amount,
    _amount_not_a_number,
    _epoch_time,
    _control_in_id,
    _empty,
)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What was generated so far. ``records`` is the sum of the other four; ``fresh`` and ``late`` become rows."""

    records: int = 0
    fresh: int = 0
    duplicate: int = 0
    late: int = 0
    corrupt: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            records=self.records + other.records,
            fresh=self.fresh + other.fresh,
            duplicate=self.duplicate + other.duplicate,
            late=self.late + other.late,
            corrupt=self.corrupt + other.corrupt,
        )
