"""What flows during a soak: valid records, repeated ones, contradictory ones and broken ones, each counted."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

from rtp_workers.kafka.topics import PARTITIONS
from tests.conftest import Stack
from tests.feed import Feed
from tests.records import body

REPEATED, CONTRADICTED, BROKEN = 0.05, 0.03, 0.03  # shares of the records
PREFIX = "feed"
BROKEN_VALUES: tuple[bytes | None, ...] = (
    None,
    b"",
    b"not JSON",
    b'{"transaction_id": "cut-',
    b"[]",
    b"\xff\xfe\x00",
    body("id\u0000nul"),
    body(None),
    body("no-amount", amount=...),
    body("nan", amount="NaN"),
    body("long", amount="1" * 40),
    body("no-offset", occurred_at="2026-01-31T13:45:00"),
    body("year-0", occurred_at="0000-01-31T13:45:00Z"),
    body("lower", currency="eur"),
)


@dataclass(frozen=True)
class Sent:
    """One record as it was sent; `transaction_id` and `amount` are None where it has to become a dead letter."""

    value: bytes | None
    transaction_id: str | None = None
    amount: Decimal | None = None


class MixedFeed(Feed):
    """Sends a mix drawn from the seed, to partitions drawn from it too.

    Attributes:
        sent: records handed to the client.
        accepted: (kafka_partition, kafka_offset) -> the record that Kafka has acknowledged there.
    """

    records_per_tick = 40

    def __init__(self, stack: Stack, seed: int) -> None:
        self.sent = 0
        self.accepted: dict[tuple[int, int], Sent] = {}
        self._random = Random(seed)
        super().__init__(stack)

    def _send(self, number: int) -> None:
        self.sent += 1
        record = self._draw(number)

        def acknowledged(message: Any) -> None:
            self.accepted[message.partition(), message.offset()] = record

        self._produce(record.value, acknowledged, partition=self._random.randrange(PARTITIONS))

    def _draw(self, number: int) -> Sent:
        kind = self._random.random()
        if kind < BROKEN:
            return Sent(self._random.choice(BROKEN_VALUES))
        earlier = self._random.randrange(number) if number else 0
        if kind < BROKEN + REPEATED:
            return _valid(earlier, f"{earlier}.01")
        if kind < BROKEN + REPEATED + CONTRADICTED:
            return _valid(earlier, f"{earlier}.{self._random.randint(2, 4):02d}")
        return _valid(number, f"{number}.01")


def _valid(number: int, amount: str) -> Sent:
    transaction_id = f"{PREFIX}-{number}"
    return Sent(body(transaction_id, amount=amount), transaction_id, Decimal(amount))
