"""Finds where a partition can be read again after a batch that no client can unpack."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import TransientError
from rtp_workers.kafka.client import NEEDS_A_PERSON, client_options, translate
from rtp_workers.kafka.record_consumer import FETCH_MAX_BYTES, OUT_OF_RANGE, is_unreadable

POLL_S = 0.2


class PartitionReader:
    """Tries to read a partition at single offsets. Close it when done."""

    def __init__(self, endpoints: Endpoints, topic: str, kafka_partition: int, timeout_s: float = 15.0) -> None:
        self._topic, self._partition, self._timeout_s = topic, kafka_partition, timeout_s
        self._consumer = Consumer(_options(endpoints))

    def first_readable(self, offset: int, end: int) -> int:
        """Returns the first readable offset from `offset` on; `end` if nothing readable is left.

        Kafka delivers whole batches, so every offset in a batch that cannot be unpacked fails in the same way.

        Raises:
            TransientError: Kafka does not answer, or an open transaction holds the partition back.
            AttentionError: not allowed.
        """
        while offset < end:
            batch_start = self._unreadable_batch(offset)
            if batch_start is None:
                return offset
            offset = self._end_of_batch(batch_start, offset, end)
        return end

    def close(self) -> None:
        """Closes the client."""
        self._consumer.close()

    def _end_of_batch(self, batch_start: int, inside: int, end: int) -> int:
        """Returns the first offset after the batch that starts at `batch_start`, by bisection."""
        outside = end
        while outside - inside > 1:
            middle = (inside + outside) // 2
            if self._unreadable_batch(middle) == batch_start:
                inside = middle
            else:
                outside = middle
        return outside

    def _unreadable_batch(self, offset: int) -> int | None:
        """Returns the start of the unreadable batch that contains `offset`; None if `offset` can be read."""
        self._consumer.assign([TopicPartition(self._topic, self._partition, offset)])
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            message = self._consumer.poll(POLL_S)
            if message is None:
                continue
            problem = message.error()
            if problem is None or problem.code() == KafkaError._PARTITION_EOF:
                return None
            if is_unreadable(problem, message.partition()):
                start = message.offset()
                return offset if start is None else start
            if problem.fatal() or problem.code() in (*OUT_OF_RANGE, *NEEDS_A_PERSON):
                raise translate(problem, f"read partition {self._partition} of {self._topic}")
        raise TransientError(
            f"partition {self._partition} of {self._topic}: nothing could be read at offset {offset} within "
            f"{self._timeout_s:g} s; is Kafka up? Try again, or say with --to how far to skip"
        )


def _options(endpoints: Endpoints) -> dict[str, Any]:
    return client_options(
        endpoints,
        "rtp-skip",
        group_id="rtp-skip",
        enable_auto_commit=False,
        enable_partition_eof=True,
        auto_offset_reset="error",
        isolation_level="read_uncommitted",
        fetch_error_backoff_ms=50,
        fetch_max_bytes=FETCH_MAX_BYTES,
        queued_max_messages_kbytes=1024,
    )
