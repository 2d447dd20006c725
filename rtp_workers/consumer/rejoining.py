"""Tells when Kafka's client does not come back into the group, although Kafka answers."""

from __future__ import annotations


class Rejoining:
    """Watches a client that lost its partitions. Pure: the caller hands the clock in.

    librdkafka does not always recover if a broker hung and was removed from the cluster meanwhile: it then asks for the
    group's coordinator forever, although a new client joins at once.

    Args:
        patience_s: how long the client may take while Kafka answers.
    """

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self._since: float | None = None

    def lost(self, now_s: float) -> None:
        """Records that the partitions were lost."""
        self._since = now_s

    def assigned(self) -> None:
        """Records that the client is in the group, with partitions or without."""
        self._since = None

    def is_overdue(self, now_s: float, *, kafka_answers: bool) -> bool:
        """Tells whether only a new client helps. Time during which Kafka does not answer is not counted."""
        if self._since is not None and not kafka_answers:
            self._since = now_s
        return self._since is not None and now_s - self._since > self.patience_s
