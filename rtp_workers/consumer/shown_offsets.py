"""Commits offsets to Kafka, only so that ordinary tools show the lag. The ledger is what counts."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rtp_workers import logs
from rtp_workers.errors import RtpError
from rtp_workers.kafka.record_consumer import RecordConsumer

COMMIT_EVERY_S = 1.0
log = logs.get(__name__)


class ShownOffsets:
    """Commits the stored offsets, at most once every `COMMIT_EVERY_S`. A failure has no consequences."""

    def __init__(self) -> None:
        self._stored: dict[int, int] = {}
        self._due_at = 0.0

    def note(self, spans: Mapping[int, tuple[int, int]]) -> None:
        """Notes a stored batch: kafka_partition -> (start, next offset)."""
        self._stored.update({number: span[1] for number, span in spans.items()})

    def note_opened(self, offsets: Mapping[int, int]) -> None:
        """Notes where partitions start. KEDA knows no lag unless each has an offset, even those without records."""
        self._stored.update(offsets)

    def commit_when_due(self, consumer: RecordConsumer) -> None:
        """Commits the noted offsets without waiting for the answer."""
        now = time.monotonic()
        if self._stored and now >= self._due_at:
            self._due_at = now + COMMIT_EVERY_S
            self._commit(consumer, wait=False)

    def commit_last(self, consumer: RecordConsumer) -> None:
        """Commits the remaining offsets and waits for the answer, however long Kafka takes."""
        self._commit(consumer, wait=True)

    def _commit(self, consumer: RecordConsumer, *, wait: bool) -> None:
        offsets, self._stored = self._stored, {}
        try:
            consumer.commit(offsets, wait=wait)
        except RtpError as error:
            log.debug("offsets_not_shown_in_kafka", reason=str(error))
