"""Checks that the topic is still the one with which a load began, and not another one of the same name."""

from __future__ import annotations

import time

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import TransientError
from rtp_workers.kafka.topics import TopicDescription, describe

PATIENCE_S = 10.0
ASK_TIMEOUT_S = 2.0


class OtherTopicError(TransientError):
    """The topic was deleted or re-created: the records sent to it are gone."""


class SameTopic:
    """Asks Kafka for the topic's id while a load waits, and again at its end.

    The client may wait for the old topic forever, or switch to the new one in the middle of a file.
    """

    def __init__(self, endpoints: Endpoints, topic: TopicDescription) -> None:
        self._endpoints, self._topic = endpoints, topic
        self._asked_at = 0.0

    def ask_while_waiting(self, waited_s: float) -> None:
        """Asks whenever the load has waited for another PATIENCE_S. If Kafka does not answer, the load waits on.

        Raises:
            OtherTopicError: it is not the same topic.
        """
        if waited_s < PATIENCE_S or time.monotonic() - self._asked_at < PATIENCE_S:
            return
        self._asked_at = time.monotonic()
        try:
            found = describe(self._endpoints, self._topic.topic, timeout_s=ASK_TIMEOUT_S)
        except TransientError:
            return
        self._refuse(found)

    def require(self) -> None:
        """Asks now.

        Raises:
            OtherTopicError: it is not the same topic.
            TransientError: Kafka does not answer.
        """
        self._refuse(describe(self._endpoints, self._topic.topic))

    def _refuse(self, found: TopicDescription | None) -> None:
        if found is None or found.topic_id != self._topic.topic_id:
            made_again = " and created again" if found is not None else ""
            raise OtherTopicError(
                f"the topic {self._topic.topic} was deleted{made_again} during the load; "
                "run it again: the file is then read from its beginning"
            )
