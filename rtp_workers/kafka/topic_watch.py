"""Watches a topic: asks for its id and the ends of its log again and again, over one connection."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka.admin import OffsetSpec

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import AttentionError, RtpError, TransientError
from rtp_workers.kafka import topics
from rtp_workers.kafka.reachability import Reachability

EARLIEST = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the client's own stub lacks it
LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client's own stub lacks it
SETTINGS_EVERY_S = 30.0
COMPACTED_EVERY_S = 2.0
# librdkafka's admin client does not always recover if a broker hung and was removed from the cluster meanwhile. It then
# waits for a controller forever, although a new client gets an answer at once.
NEW_CLIENT_AFTER = 2  # failures in a row


class TopicReplacedError(RtpError):
    """Records were fetched by a topic's name, and at that time the name may have belonged to another topic."""


class TopicUnconfirmedError(TransientError):
    """Kafka cannot be asked whether the topic is still the same. The batch waits for the answer."""


@dataclass(frozen=True, slots=True)
class TopicView:
    """The topic at one moment.

    Attributes:
        log: kafka_partition -> (log start, end).
        compacted: True if Kafka deletes records when a later one has the same key; None if Kafka does not tell us.
    """

    topic_id: str
    log: dict[int, tuple[int, int]]
    compacted: bool | None = None


class TopicWatch:
    """Keeps one admin connection for a topic. Thread-safe.

    Args:
        endpoints: where Kafka is.
        topic: the topic's name.
        timeout_s: the timeout of each request.
    """

    def __init__(self, endpoints: Endpoints, topic: str, timeout_s: float = 5.0) -> None:
        self._endpoints = endpoints
        self._admin = topics.admin_client(endpoints)
        self._failures = 0
        self._topic = topic
        self._timeout_s = timeout_s
        self._reachability = Reachability(endpoints)
        self._compacted: bool | None = None
        self._settings_due_at = 0.0

    def look(self) -> TopicView | None:
        """Returns the topic as it is now; None if it does not exist.

        Raises:
            TransientError: Kafka is away.
            AttentionError: not allowed, or client and broker do not agree on TLS or on the login.
        """
        try:
            found = self._look()
        except TransientError as error:
            self._count_failure()
            raise self._reachability.explained(error) from error
        self._failures = 0
        return found

    def _count_failure(self) -> None:
        self._failures += 1
        if self._failures % NEW_CLIENT_AFTER == 0:
            self._admin = topics.admin_client(self._endpoints)

    def _look(self) -> TopicView | None:
        found = topics.described(self._admin, self._topic, self._timeout_s)
        if found is None:
            return None
        starts = topics.list_offsets(self._admin, found, EARLIEST, self._timeout_s)
        ends = topics.list_offsets(self._admin, found, LATEST, self._timeout_s)
        log = {number: (starts[number], ends[number]) for number in starts}
        return TopicView(found.topic_id, log, self._is_compacted())

    def _is_compacted(self) -> bool | None:
        """Reads the topic's cleanup.policy every `SETTINGS_EVERY_S`, sooner while it is compacted."""
        if time.monotonic() < self._settings_due_at:
            return self._compacted
        try:
            policy = topics.settings_of(self._admin, self._topic, self._timeout_s).get("cleanup.policy", "")
            self._compacted = "compact" in policy
        except AttentionError:
            self._compacted = None  # we may not read the topic's settings, so we cannot tell
        self._settings_due_at = time.monotonic() + (COMPACTED_EVERY_S if self._compacted else SETTINGS_EVERY_S)
        return self._compacted

    def check(self, topic_id: str) -> TopicCheck:
        """Asks the broker now whether the topic still has this id; see `TopicCheck`."""
        return TopicCheck(lambda: topics.described_later(self._admin, self._topic, self._timeout_s), topic_id)


class TopicCheck:
    """Proof that records fetched before it was made belong to the topic with this id.

    A re-created topic keeps its name, and the client may continue in it from the old offset. The question is sent when
    the check is created. The answer arrives while other work is done.
    """

    def __init__(self, ask: Callable[[], Callable[[], topics.TopicDescription | None]], topic_id: str) -> None:
        self._ask = ask
        self._topic_id = topic_id
        self._answer = ask()

    def confirm(self) -> None:
        """Waits for the answer. May be called again, also after a failure.

        Raises:
            TopicReplacedError: the name belongs to another topic now, or to none.
            TopicUnconfirmedError: Kafka does not answer, or does not allow the question.
        """
        try:
            found = self._answer()
        except RtpError as error:
            self._answer = self._ask()
            raise TopicUnconfirmedError(str(error)) from error
        if found is None or found.topic_id != self._topic_id:
            now = "gone" if found is None else f"{found.topic_id} now"
            raise TopicReplacedError(f"the topic's id was {self._topic_id}, it is {now}; its records are dropped")
