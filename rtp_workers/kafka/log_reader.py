"""Reads what Kafka holds at certain offsets, outside the group's assignment, to compare it with the ledger's marks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import RtpError, TransientError
from rtp_workers.kafka.client import client_options, translate
from rtp_workers.record.marks import Mark, mark_of

POLL_S = 0.1
GONE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})


@dataclass(slots=True)
class Stretch:
    """What Kafka holds between two offsets.

    Attributes:
        marks: the marks of the records there, in order.
        hidden: True if an open transaction hides a part, so that `marks` may be incomplete.
    """

    marks: list[Mark] = field(default_factory=list)
    hidden: bool = False


class LogReader:
    """Reads short stretches of a topic's log. Not thread-safe. It holds connections, so close it soon.

    Args:
        endpoints: where Kafka is.
        topic: the topic's name.
        group_id: the consumer's group. It is not joined, but the client's rights are for this name.
    """

    def __init__(self, endpoints: Endpoints, topic: str, group_id: str) -> None:
        self._topic = topic
        options = client_options(
            endpoints,
            "rtp-log-check",
            group_id=group_id,
            auto_offset_reset="error",
            enable_partition_eof=True,
            isolation_level="read_committed",
            # Only a few records are wanted of each partition. The line may be slow, so nothing is fetched ahead.
            max_partition_fetch_bytes=16 * 1024,
            queued_max_messages_kbytes=2_048,
            queued_min_messages=1,
            fetch_queue_backoff_ms=20,  # after a full queue, the client would wait for a second
            fetch_wait_max_ms=20,
            fetch_error_backoff_ms=50,
        )
        pinned = {"enable.auto.commit": False, "enable.auto.offset.store": False, "auto.offset.reset": "error"}
        self._consumer = Consumer({**options, **pinned, "group.id": group_id})

    def read(self, wanted: Mapping[int, range], timeout_s: float) -> dict[int, Stretch]:
        """Returns the committed records that Kafka holds, by kafka_partition.

        Args:
            wanted: kafka_partition -> offsets; no range is empty.
            timeout_s: the time limit for all of them together.

        Raises:
            TransientError: Kafka is away, or did not answer in time.
            AttentionError: not allowed.
        """
        found = {number: Stretch() for number in wanted}
        left = dict(wanted)
        deadline = time.monotonic() + timeout_s
        try:
            starts = [TopicPartition(self._topic, number, offsets.start) for number, offsets in left.items()]
            self._consumer.assign(starts)
            while left:
                if time.monotonic() > deadline:
                    raise TransientError(
                        f"compare {self._topic} with the ledger: no answer in {timeout_s:g} s; is Kafka up? "
                        "This is retried automatically"
                    )
                # One record at a time: if asked for many, the client waits until it has all of them.
                message = self._consumer.poll(POLL_S)
                if message is not None:
                    self._note(message, left, found)
        except KafkaException as error:
            raise self._translated(error) from error
        return found

    def close(self) -> None:
        """Closes the client."""
        self._consumer.close()

    def _note(self, message: Any, left: dict[int, range], found: dict[int, Stretch]) -> None:
        number, error = message.partition(), message.error()
        if number not in left:
            return
        if error is None:
            if message.offset() in left[number]:
                found[number].marks.append(mark_of(message))
            if message.offset() >= left[number].stop - 1:
                self._leave(number, left)
        elif error.code() == KafkaError._PARTITION_EOF:
            # For a reader of committed records, the log ends at the first open transaction. It may be longer.
            end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), cached=True)[1]
            found[number].hidden = message.offset() < left[number].stop and end > message.offset()
            self._leave(number, left)
        elif error.code() in GONE:
            self._leave(number, left)
        else:
            raise self._translated(error)

    def _leave(self, number: int, left: dict[int, range]) -> None:
        """Stops the delivery of a partition: the rest of its log would come before what is wanted of the others."""
        del left[number]
        self._consumer.incremental_unassign([TopicPartition(self._topic, number)])

    def _translated(self, error: KafkaError | KafkaException) -> RtpError:
        return translate(error, f"compare {self._topic} with the ledger", lacking=f"Read on topic {self._topic}")
