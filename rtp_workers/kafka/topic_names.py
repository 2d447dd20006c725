"""Lists the topics of a Kafka, repeatedly, to find those that appear later."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from confluent_kafka import KafkaException

from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.client import translate
from rtp_workers.kafka.topics import admin_client

TIMEOUT_S = 5.0


class TopicNames:
    """Finds the topics that match patterns. Keeps one connection. Not thread-safe.

    Args:
        endpoints: where Kafka is.
        patterns: names, with ``*`` and ``?`` as in a shell.
        own: our own topic, which is never among the answers.
    """

    def __init__(self, endpoints: Endpoints, patterns: Sequence[str], own: str) -> None:
        self._admin = admin_client(endpoints)
        self._patterns = tuple(patterns)
        self._own = own

    def look(self) -> list[str]:
        """Returns the topics that match a pattern, sorted. Kafka's internal topics match only their exact name.

        Raises:
            TransientError: Kafka is away.
            AttentionError: not allowed.
        """
        try:
            names = self._admin.list_topics(timeout=TIMEOUT_S).topics
        except KafkaException as error:
            raise translate(error, "list the topics") from error
        return sorted(name for name in names if name != self._own and self._fits(name))

    def _fits(self, name: str) -> bool:
        if name.startswith("__"):
            return name in self._patterns
        return any(fnmatchcase(name, pattern) for pattern in self._patterns)
