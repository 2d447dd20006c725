"""Transactional producers upstream: what they abort must leave nothing but skipped offsets."""

from __future__ import annotations

import threading
from decimal import Decimal

from confluent_kafka import KafkaException, Producer

from tests.conftest import Stack
from tests.records import body, producer_of

PREFIX = "upstream"
PATIENCE_S = 30.0
TRANSACTION_MS = 10_000  # Kafka aborts what is open for longer


class Upstream:
    """Sends transactions in threads of their own, one at a time; Kafka may be away meanwhile.

    Attributes:
        committed: transaction_id -> amount, of those that Kafka says are committed.
        aborted: transaction_id of those that Kafka says are aborted.
        unknown: transactions of which Kafka did not tell how they ended.
    """

    def __init__(self, stack: Stack) -> None:
        self.committed: dict[str, Decimal] = {}
        self.aborted: set[str] = set()
        self.unknown = 0
        self._stack = stack
        self._sent = 0
        self._threads: list[threading.Thread] = []
        self._turn = threading.Lock()

    def send(self, records: int, then: str) -> None:
        """Sends so many records in one transaction, then commits or aborts it."""
        ids = [f"{PREFIX}-{self._sent}-{number}" for number in range(records)]
        self._sent += 1
        self._threads.append(threading.Thread(target=self._run, args=(ids, then), daemon=True))
        self._threads[-1].start()

    def wait(self) -> None:
        """Waits until every transaction is done with."""
        for thread in self._threads:
            thread.join()

    def _run(self, ids: list[str], then: str) -> None:
        options = {"transactional.id": f"{PREFIX}-{self._stack.topic}", "transaction.timeout.ms": TRANSACTION_MS}
        with self._turn:
            producer = producer_of(self._stack, **options)
            try:
                self._transact(producer, ids, then)
            except KafkaException:
                self.unknown += 1  # the log tells, once Kafka has ended it
            finally:
                producer.purge()

    def _transact(self, producer: Producer, ids: list[str], then: str) -> None:
        producer.init_transactions(PATIENCE_S)
        producer.begin_transaction()
        for number, transaction_id in enumerate(ids):
            producer.produce(self._stack.topic, body(transaction_id, amount=f"{number}.05"), key=transaction_id)
        if then == "commit":
            producer.commit_transaction(PATIENCE_S)
            self.committed.update((each, Decimal(f"{number}.05")) for number, each in enumerate(ids))
        else:
            producer.flush(PATIENCE_S)
            producer.abort_transaction(PATIENCE_S)
            self.aborted.update(ids)
