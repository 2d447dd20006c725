"""A producer in the background that knows exactly what Kafka has acknowledged."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.conftest import Stack
from tests.reading import ledger_sums, query, wait_for_ledger
from tests.records import body, producer_of

TICK_S = 0.05
FLUSH_S = 120.0


class Feed:
    """Sends valid records to every partition until stopped, through whatever happens to Kafka.

    Attributes:
        acknowledged: transaction_id -> amount, of the records that Kafka has taken over.
        records_per_tick: how many records each 50 ms.
    """

    records_per_tick = 10

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.acknowledged: dict[str, str] = {}
        self.refused: list[object] = []
        options = {"enable.idempotence": True, "message.timeout.ms": 0, "reconnect.backoff.max.ms": 1_000}
        self._producer = producer_of(stack, **options)
        self._numbers = itertools.count()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Stops sending and waits until Kafka has acknowledged everything sent; safe to repeat."""
        self.abandon()
        assert self._producer.flush(FLUSH_S) == 0
        assert self.refused == []

    def assert_stored_once(self, timeout_s: float = 120) -> None:
        """Stops, waits until the ledger has reached the end, and checks each id, each amount and the sums."""
        self.stop()
        wait_for_ledger(self.stack, timeout_s)
        rows = query(self.stack, "select transaction_id, amount::text as amount from transactions")
        assert {row["transaction_id"]: row["amount"] for row in rows} == self.acknowledged
        sums = {"inserted": len(self.acknowledged), "duplicates": 0, "dead_lettered": 0, "skipped": 0}
        assert ledger_sums(self.stack) == sums

    def abandon(self) -> None:
        """Stops sending, whatever is acknowledged; safe to repeat."""
        self._stopping.set()
        self._thread.join()

    def running(self) -> bool:
        """Returns whether it still sends."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.wait(TICK_S):
            for number in itertools.islice(self._numbers, self.records_per_tick):
                self._send(number)
            self._producer.poll(0)

    def _send(self, number: int) -> None:
        transaction_id, amount = f"feed-{number}", f"{number}.01"

        def acknowledged(message: Any) -> None:
            self.acknowledged[transaction_id] = amount

        self._produce(body(transaction_id, amount=amount), acknowledged, key=transaction_id)

    def _produce(self, value: bytes | None, acknowledged: Callable[[Any], None], **where: Any) -> None:
        """Sends one record; `acknowledged` is told the message once Kafka has it."""

        def delivered(error: object, message: Any) -> None:
            if error is None:
                acknowledged(message)
            else:
                self.refused.append(error)

        self._producer.produce(self.stack.topic, value, on_delivery=delivered, **where)


@contextmanager
def fed(stack: Stack) -> Iterator[Feed]:
    """Feeds the topic for as long as the block runs."""
    feed = Feed(stack)
    try:
        yield feed
    finally:
        feed.stop()
