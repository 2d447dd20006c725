"""Begins a new generation for a partition whose log was rewritten, and stores what was lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from rtp_workers import logs
from rtp_workers.kafka.log_reader import LogReader
from rtp_workers.postgres import ledger
from rtp_workers.postgres.connection import Connection
from rtp_workers.postgres.ledger import LedgerMovedError, Place, Topic
from rtp_workers.reconcile.balance import Log
from rtp_workers.reconcile.log_comparison import READ_TIMEOUT_S, Comparison, LogUnreadError, compare_all

LONGEST_READ_S = 160.0
log = logs.get(__name__)


class Continuity:
    """Compares partitions with the ledger, and begins a generation if a log was rewritten. One thread uses it.

    Args:
        reader: makes a reader of the topic's log.
        while_reading: returns a context that is entered for as long as Kafka's log is read.
    """

    def __init__(
        self,
        reader: Callable[[], LogReader],
        while_reading: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._reader, self._while_reading = reader, while_reading
        self._read_s = READ_TIMEOUT_S
        self._suspected: set[tuple[int, Place]] = set()

    def checked(
        self, connection: Connection, topic: Topic, places: Mapping[int, Place], log_now: Log
    ) -> tuple[dict[int, Place], dict[int, str]]:
        """Returns where partitions resume and, by kafka_partition, why that is not known yet.

        A difference counts only if it is seen twice in a row. Directly after a change of leaders, Kafka may not yet
        show the last records that it holds.

        Args:
            connection: role rtp_ingest, in autocommit mode.
            topic: the topic of the partitions.
            places: the ledger's positions.
            log_now: (log start, end) by kafka_partition.

        Raises:
            LogUnreadError: Kafka's log cannot be read.
            TransientError: PostgreSQL is away.
        """
        comparisons = self._compared(places, log_now)
        good: dict[int, Place] = {}
        unclear: dict[int, str] = {}
        suspected = set()
        for number, found in comparisons.items():
            place = places[number]
            if found.same:
                good[number] = place
            elif found.hidden:
                unclear[number] = (
                    f"partition {number}: an open transaction hides records that are stored already, so that the log "
                    "cannot be compared with the ledger; it resumes when the transaction ends or times out"
                )
            elif (number, place) in self._suspected:
                try:
                    good[number] = _begin(connection, topic, number, place, found, log_now[number][0])
                except LedgerMovedError as error:
                    unclear[number] = str(error)
            else:
                suspected.add((number, place))
                unclear[number] = (
                    f"partition {number}: Kafka does not show the records that are stored here; the check is repeated"
                )
        self._suspected = suspected
        return good, unclear

    def doubt(self, places: Mapping[int, Place], log_now: Log) -> str | None:
        """Returns a sentence about an open partition whose log differs from the ledger; None if there is none.

        Only `checked` decides. The caller must have the positions looked up again.
        """
        for number, found in self._compared(places, log_now).items():
            if not found.same and not found.hidden:
                return f"partition {number}: Kafka's log differs from what is stored here; it is compared again"
        return None

    def _compared(self, places: Mapping[int, Place], log_now: Log) -> dict[int, Comparison]:
        """Compares. After a failure the next attempt gets more time: on a very slow line, ten seconds are too few."""
        try:
            with self._while_reading():
                return compare_all(self._reader, places, log_now, self._read_s)
        except LogUnreadError:
            self._read_s = min(2 * self._read_s, LONGEST_READ_S)
            raise


def _begin(connection: Connection, topic: Topic, number: int, place: Place, found: Comparison, log_start: int) -> Place:
    resume_at = max(log_start, found.agreed[-1].offset + 1 if found.agreed else 0)
    begun = Place(resume_at, place.generation + 1, found.agreed)
    ledger.begin_generation(connection, topic, number, place, begun)
    log.warning(
        "log_rewritten",
        topic=topic.name,
        kafka_partition=number,
        generation=begun.generation,
        ledger_was_at=place.offset,
        read_again_from=resume_at,
        reason="Kafka no longer has records that are stored here; see `rtp losses`",
    )
    return begun
