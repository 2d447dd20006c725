"""One long-lived look at a topic: its id and the ends of its log, asked for again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka.admin import OffsetSpec

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import RtpError
from rtp_workers.kafka import topics

EARLIEST = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the client's own stub lacks it
LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client's own stub lacks it


class TopicReplacedError(RtpError):
    """Records were fetched under a topic's name that may by then have belonged to another topic."""


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

    def check(self, topic_id: str) -> TopicCheck:
        """Asks the broker now whether the topic still has this id; see `TopicCheck`."""
        return TopicCheck(lambda: topics.described_later(self._admin, self._topic, self._timeout_s), topic_id)


class TopicCheck:
    """Proof that records fetched before it was made belong to the topic with this id.

    A topic deleted and made again keeps its name, and the client may fetch on in the new one from the old offset.
    The question is asked when the check is made, and answered beside other work.
    """

    def __init__(self, ask: Callable[[], Callable[[], topics.TopicDescription | None]], topic_id: str) -> None:
        self._ask = ask
        self._topic_id = topic_id
        self._answer = ask()

    def confirm(self) -> None:
        """Waits for the answer. May be called again, after a failure too.

        Raises:
            TopicReplacedError: the name belongs to another topic now, or to none.
            TransientError: Kafka is away. AttentionError: not allowed.
        """
        try:
            found = self._answer()
        except RtpError:
            self._answer = self._ask()
            raise
        if found is None or found.topic_id != self._topic_id:
            now = "gone" if found is None else f"{found.topic_id} now"
            raise TopicReplacedError(f"the topic's id was {self._topic_id}, it is {now}; its records are dropped")
