"""The diagnosis thread: finds out why records wait, so that people see the cause and not only the lag."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from rtp_workers import logs
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import RtpError
from rtp_workers.kafka.causes import CauseFinder, Others

LOOK_EVERY_S = 5.0
log = logs.get(__name__)


class DiagnosisThread:
    """Asks Kafka every `LOOK_EVERY_S`: about the group if it has other members, about partitions if some are stuck.

    Attributes:
        standing: kafka_partition -> position, for partitions that do not move although records wait. The session sets
            it.
        causes: why they do not move, by kafka_partition, if Kafka names a cause; replaced as a whole.
        kafka_answered: set by the control thread whenever Kafka answers. Nothing is asked until Kafka has just
            answered: if a request about the group times out, librdkafka may fail an assertion
            (`eonce->refcnt > 0`, confluentinc/librdkafka#4605), which ends the process.
        shared: True if some partitions of the topic are not ours; set by the session. While all of them are ours,
            nobody else has any, and the request that may end the process is not made at all.
        ledger_id: the id of the database that the session stores into; set by the session, empty if not known.
        others: who else has partitions of our topic.
    """

    def __init__(self, endpoints: Endpoints, topic: str, group_id: str) -> None:
        self._finder = CauseFinder(endpoints, topic, group_id)
        self.standing: Mapping[int, int] = {}
        self.causes: dict[int, str] = {}
        self.kafka_answered = threading.Event()
        self.shared = False
        self.ledger_id = ""
        self.others = Others()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="diagnosis", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread without waiting for it: it is a daemon, and a request to Kafka may take seconds."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            self.kafka_answered.clear()
            if self.kafka_answered.wait(LOOK_EVERY_S):
                self._look(self._look_at_group)
                self._look(self._look_at_partitions)

    def _look_at_group(self) -> None:
        self.others = self._finder.others(self.ledger_id) if self.shared else Others()

    def _look_at_partitions(self) -> None:
        standing = dict(self.standing)
        self.causes = self._finder.standing(standing) if standing else {}

    @staticmethod
    def _look(look: Callable[[], None]) -> None:
        try:
            look()
        except (RtpError, MemoryError) as error:
            # A failed question is not a problem by itself: the control thread reports that Kafka is away.
            log.debug("cause_not_found", reason=str(error))
