"""Reads the newest records of a topic to look at them. Joins no group and commits nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.client import client_options, translate
from rtp_workers.kafka.topics import log_offsets

BY_PARTITION = 1_000
TIMEOUT_S = 15.0
POLLED = 1_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Records in the order of each partition, and how many the topic holds at most (including markers and gaps)."""

    records: list[Message]
    offsets: int


def newest_records(
    endpoints: Endpoints, topic: str, by_partition: int = BY_PARTITION, timeout_s: float = TIMEOUT_S
) -> Sample:
    """Reads the last records of every partition.

    Args:
        endpoints: where Kafka is.
        topic: the topic's name.
        by_partition: how many records of each partition to read at most.
        timeout_s: after this time it returns what it has read so far.

    Raises:
        TransientError: Kafka is away, or the topic does not exist.
        AttentionError: not allowed.
    """
    log = {number: span for number, span in log_offsets(endpoints, topic).items() if span[1] > span[0]}
    starts = [
        TopicPartition(topic, number, max(start, end - by_partition)) for number, (start, end) in sorted(log.items())
    ]
    consumer = Consumer(_options(endpoints))
    try:
        consumer.assign(starts)
        records = _read(consumer, {start.partition for start in starts}, time.monotonic() + timeout_s, topic)
    except KafkaException as error:
        raise translate(error, f"read a sample of {topic}") from error
    finally:
        consumer.close()
    records.sort(key=lambda record: (record.partition(), record.offset()))
    return Sample(records, sum(end - start for start, end in log.values()))


def _read(consumer: Consumer, waiting: set[int], deadline: float, topic: str) -> list[Message]:
    """Reads until every partition has reached its end."""
    records: list[Message] = []
    while waiting and time.monotonic() < deadline:
        for message in consumer.consume(POLLED, 0.5):
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                waiting.discard(message.partition())
            elif not error.retriable():
                raise translate(error, f"read a sample of {topic}")
    return records


def _options(endpoints: Endpoints) -> dict[str, object]:
    options = client_options(
        endpoints,
        "rtp-map",
        enable_auto_commit=False,
        enable_auto_offset_store=False,
        enable_partition_eof=True,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    # The client needs a group name even if it joins no group.
    return {**options, "group.id": "rtp-map", "enable.auto.commit": False}
