"""A producer in the background that knows exactly what Kafka has acknowledged."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.conftest import Stack
from tests.reading import ledger_sums, query, wait_for_ledger
from tests.records import body, producer_of

TICK_S = 0.05
RECORDS_PER_TICK = 10
FLUSH_S = 120.0


class Feed:
    """Sends valid records to every partition until stopped, through whatever happens to Kafka.

    Attributes:
        acknowledged: transaction_id -> amount, of the records that Kafka has taken over.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.acknowledged: dict[str, str] = {}
        self.refused: list[object] = []
        options = {"enable.idempotence": True, "message.timeout.ms": 0, "reconnect.backoff.max.ms": 1_000}
        self._producer = producer_of(stack, **options)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Stops sending and waits until Kafka has acknowledged everything sent; safe to repeat."""
        self._stopping.set()
        self._thread.join()
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

    def _run(self) -> None:
        numbers = itertools.count()
        while not self._stopping.wait(TICK_S):
            for number in itertools.islice(numbers, RECORDS_PER_TICK):
                self._send(f"feed-{number}", f"{number}.01")
            self._producer.poll(0)

    def _send(self, transaction_id: str, amount: str) -> None:
        def delivered(error: object, message: Any) -> None:
            if error is None:
                self.acknowledged[transaction_id] = amount
            else:
                self.refused.append(error)

        value = body(transaction_id, amount=amount)
        self._producer.produce(self.stack.topic, value, key=transaction_id, on_delivery=delivered)


@contextmanager
def fed(stack: Stack) -> Iterator[Feed]:
    """Feeds the topic for as long as the block runs."""
    feed = Feed(stack)
    try:
        yield feed
    finally:
        feed.stop()
