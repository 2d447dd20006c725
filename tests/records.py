"""Records for tests, produced with the bare client: what foreign producers may send."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Producer

from tests.conftest import Stack

LOG_LEVEL = 2  # of syslog: critical
Header = tuple[str, bytes | None]


def body(transaction_id: str | None, /, **fields: Any) -> bytes:
    """Returns a valid record's JSON; `fields` win, ``...`` leaves one out."""
    record: dict[str, Any] = {
        "transaction_id": transaction_id,
        "occurred_at": "2026-01-31T13:45:00.25+01:00",
        "amount": "12.50",
        "customer_id": "C1",
        **fields,
    }
    return json.dumps({name: value for name, value in record.items() if value is not ...}).encode()


@dataclass(frozen=True)
class SentRecord:
    """What the writer reads of a record of Kafka's client."""

    number: int
    body: bytes

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.number

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes | None:
        return self.body

    def timestamp(self) -> tuple[int, int]:
        return 1, 0

    def headers(self) -> Sequence[tuple[str, bytes | None]] | None:
        return None


def producer_of(stack: Stack, **options: Any) -> Producer:
    """Returns a plain client on the stack's Kafka, quiet about connections: tests break them."""
    return Producer({"bootstrap.servers": stack.endpoints.need("kafka_bootstrap"), "log_level": LOG_LEVEL, **options})


def produce(
    stack: Stack,
    values: Iterable[bytes | None],
    *,
    kafka_partition: int = 0,
    headers: Sequence[Header] | None = (("source", b"test"),),
) -> list[int]:
    """Sends values to one partition, in order, and returns the offsets that Kafka acknowledged."""
    producer = producer_of(stack)
    offsets: list[int] = []

    def delivered(error: object, message: Any) -> None:
        assert error is None, error
        offsets.append(message.offset())

    for value in values:
        producer.produce(
            stack.topic, value, partition=kafka_partition, headers=list(headers or ()), on_delivery=delivered
        )
        producer.poll(0)
    assert producer.flush(60) == 0
    return offsets


def produce_in_transactions(stack: Stack, transactions: Iterable[tuple[Sequence[bytes], bool]]) -> None:
    """Sends values to partition 0, each list in a transaction that is committed (True) or aborted."""
    producer = producer_of(stack, **{"transactional.id": f"tx-{stack.topic}"})
    producer.init_transactions(60)
    for values, commit in transactions:
        producer.begin_transaction()
        for value in values:
            producer.produce(stack.topic, value, partition=0)
        producer.flush(60)
        producer.commit_transaction(60) if commit else producer.abort_transaction(60)
