"""The group's member on a real Kafka: what it holds, gives up and starts again."""

from __future__ import annotations

import time
from collections.abc import Callable

from rtp_workers.kafka.record_consumer import ConsumerLimits, Rebalances, RecordConsumer
from tests.conftest import Stack
from tests.records import body, produce

LIMITS = ConsumerLimits(queue_bytes=1_000_000, session_timeout_s=10, max_poll_interval_s=60)
SEEN_S = 60.0


def test_a_partition_given_up_while_paused_delivers_when_it_is_started_again(stack: Stack) -> None:
    """Whoever resumes afterwards resumes what runs then: a pause that outlived the stop would never end."""
    produce(stack, [body("t-1"), body("t-2")], kafka_partition=0)
    assigned: list[int] = []
    rebalances = Rebalances(assigned.extend, lambda partitions: None, lambda partitions: None)
    consumer = RecordConsumer(stack.endpoints, stack.topic, f"group-of-{stack.topic}", LIMITS, rebalances)
    try:
        _poll(consumer, lambda: 0 in assigned)
        consumer.start({0: 0})
        assert _poll(consumer, lambda: False, records=2) == [0, 1]
        consumer.pause()
        consumer.stop([0])
        consumer.resume()
        consumer.start({0: 1})
        assert _poll(consumer, lambda: False, records=1) == [1]
    finally:
        consumer.close()


def _poll(consumer: RecordConsumer, enough: Callable[[], bool], records: int | None = None) -> list[int]:
    """Polls until `enough`, or so many records; returns their offsets."""
    offsets: list[int] = []
    deadline = time.monotonic() + SEEN_S
    while not enough() and len(offsets) != records and time.monotonic() < deadline:
        offsets += [record.offset() for record in consumer.poll(10, 0.1).records]
    return offsets
