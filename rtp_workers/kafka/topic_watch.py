"""One long-lived look at a topic: its id and the ends of its log, asked for again and again."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka.admin import OffsetSpec

from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka import topics

EARLIEST = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the client's own stub lacks it
LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client's own stub lacks it


@dataclass(frozen=True, slots=True)
class TopicView:
    """The topic at one moment. ``log`` maps kafka_partition to (log start, end)."""

    topic_id: str
    log: dict[int, tuple[int, int]]


class TopicWatch:
    """Keeps one admin connection for a topic. Thread-safe.

    Args:
        endpoints: where Kafka is.
        topic: its name.
        timeout_s: for each request.
    """

    def __init__(self, endpoints: Endpoints, topic: str, timeout_s: float = 5.0) -> None:
        self._admin = topics.admin_client(endpoints)
        self._topic = topic
        self._timeout_s = timeout_s

    def look(self) -> TopicView | None:
        """Returns the topic as it is now, or None where it does not exist.

        Raises:
            TransientError: Kafka is away. AttentionError: not allowed.
        """
        found = topics.described(self._admin, self._topic, self._timeout_s)
        if found is None:
            return None
        starts = topics.list_offsets(self._admin, found, EARLIEST, self._timeout_s)
        ends = topics.list_offsets(self._admin, found, LATEST, self._timeout_s)
        return TopicView(found.topic_id, {number: (starts[number], ends[number]) for number in starts})
