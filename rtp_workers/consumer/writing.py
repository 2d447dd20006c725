"""The writing thread: writes batches to PostgreSQL, one after the other, while the main thread decodes the next one.

psycopg2 releases the interpreter during COPY, so both threads really run in parallel.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from rtp_workers import logs
from rtp_workers.backoff import Backoff
from rtp_workers.consumer.assignment import Assignment
from rtp_workers.consumer.reasons import Reasons
from rtp_workers.consumer.state import Written
from rtp_workers.errors import AttentionError, ConfigError, TransientError
from rtp_workers.kafka.topic_watch import TopicReplacedError, TopicUnconfirmedError
from rtp_workers.postgres.batch import Batch, Counts, halves
from rtp_workers.postgres.batch_writer import BatchWriter
from rtp_workers.postgres.connection import ConnectionLostError, MemoryRefusedError
from rtp_workers.postgres.ledger import LedgerMovedError
from rtp_workers.watchdog import Beat

TRIES_FOR_MEMORY = 3
log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Overtaken:
    """A batch that was not written because its partitions are no longer ours, or because the ledger has moved."""

    batch: Batch
    why: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A single record for which memory is too small at every attempt. Its partition cannot move past it."""

    kafka_partition: int
    offset: int
    why: str


class WritingThread:
    """Writes batches in the given order. While one is written, at most one more waits.

    Attributes:
        outcomes: what the main thread takes from here: `Written`, `Overtaken` or `TooLarge`, in order.
        problem: why the current batch cannot be written yet, or None.
        problem_at: which server causes the problem: ``kafka`` or ``postgres``.
        retries: how many attempts failed since the start.
        failure: an unexpected error that ended the thread, or None.
    """

    def __init__(self, writer: BatchWriter, assignment: Assignment, beat: Beat | None = None) -> None:
        self._writer = writer
        self._beat = beat or Beat("writer")
        self._assignment = assignment
        self._changed = threading.Condition()
        self._waiting: Batch | None = None
        self._current: Batch | None = None
        self._busy_since: float | None = None
        self._stopping = threading.Event()
        self.outcomes: deque[Written | Overtaken | TooLarge] = deque()
        self.problem: str | None = None
        self.problem_at = "postgres"
        self._reasons = Reasons()
        self.retries = 0
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="writing", daemon=True)
        self._thread.start()

    @property
    def free(self) -> bool:
        """True when `submit` takes a batch without waiting."""
        return self._waiting is None

    @property
    def idle(self) -> bool:
        """True if no batch is being written and none waits."""
        return self._waiting is None and self._current is None

    @property
    def busy_s(self) -> float:
        """Seconds since the current attempt began; 0 between attempts."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def holds(self, kafka_partition: int) -> bool:
        """Tells whether a batch with offsets of this partition is being written or waits."""
        return any(batch is not None and kafka_partition in batch.spans for batch in (self._current, self._waiting))

    def submit(self, batch: Batch) -> None:
        """Hands over a batch. Allowed only while `free`."""
        with self._changed:
            self._waiting = batch
            self._changed.notify_all()

    def wait_free(self, timeout_s: float) -> bool:
        """Waits until `free`. Returns False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self.free or self.failure is not None, timeout_s)

    def wait_idle(self, timeout_s: float) -> bool:
        """Waits until every submitted batch is written or dropped. Returns False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self.idle or self.failure is not None, timeout_s)

    def raise_failure(self) -> None:
        """Raises the error that has ended the thread, if any. For the main thread, which owns the process."""
        if self.failure is not None:
            raise self.failure

    def stop(self, timeout_s: float) -> None:
        """Finishes the current attempt and ends. A waiting batch is dropped (its records are still in Kafka)."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._writer.abort()
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while (batch := self._next()) is not None:
                self._write(batch)
                with self._changed:
                    self._current = None
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread, which owns the process
            self.failure = error
            with self._changed:
                self._changed.notify_all()
        finally:
            self._beat.end()
            self._writer.close()

    def _next(self) -> Batch | None:
        with self._beat.waiting(), self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._stopping.is_set())
            if self._stopping.is_set():
                return None
            self._current, self._waiting = self._waiting, None
            self._changed.notify_all()
            return self._current

    def _write(self, batch: Batch) -> None:
        backoff = Backoff()
        in_doubt = False
        while not self._stopping.is_set():
            if not self._is_current(batch):
                self.outcomes.append(Overtaken(batch, "its partitions are no longer ours"))
                break
            started = time.monotonic()
            self._busy_since = started
            try:
                with self._beat.waiting():
                    if backoff.tries:
                        # Outside a transaction: while Kafka is away, no rows are written only to be rolled back.
                        batch.confirm()
                    counts = self._once(batch, in_doubt)
            except (LedgerMovedError, TopicReplacedError) as error:
                self.outcomes.append(Overtaken(batch, str(error)))
                break
            except MemoryRefusedError as error:
                self._note(batch.topic, error)
                if self._wrote_in_parts(batch) or self._is_too_large(batch, backoff.tries, error):
                    break
                self._stopping.wait(backoff.next_s())
                continue
            except (TransientError, AttentionError, ConfigError) as error:
                in_doubt = in_doubt or isinstance(error, ConnectionLostError)
                self._note(batch.topic, error)
                self._busy_since = None
                self._beat.turn()
                self._stopping.wait(backoff.next_s(getattr(error, "retry_after_s", None)))
                continue
            finally:
                self._busy_since = None
            spans = {partition: (span.start_offset, span.next_offset) for partition, span in batch.spans.items()}
            rows = len(batch.lines) + len(batch.dead_letters)
            self.outcomes.append(Written(spans, counts, rows, time.monotonic() - started, batch.appended_ms))
            break
        self.problem = None
        self._reasons.clear()

    def _wrote_in_parts(self, batch: Batch) -> bool:
        """Writes the batch in two halves, each of which may be halved again. Returns False for a single record."""
        parts = halves(batch)
        if parts is None:
            return False
        for part in parts:
            if part and not self._stopping.is_set():
                self._write(part)
        return True

    def _is_too_large(self, batch: Batch, tries: int, error: MemoryRefusedError) -> bool:
        """Gives up on a single record after `TRIES_FOR_MEMORY` attempts. Before that, the shortage may pass."""
        if tries < TRIES_FOR_MEMORY:
            return False
        for number, span in batch.spans.items():
            self.outcomes.append(TooLarge(number, span.next_offset - 1, str(error)))
        return True

    def _once(self, batch: Batch, in_doubt: bool) -> dict[int, Counts] | None:
        """Makes one attempt. If an earlier one lost its connection, the ledger first shows whether it was committed."""
        if in_doubt and self._writer.settled(batch):
            log.info("commit_settled_from_ledger", topic=batch.topic)
            return None
        return self._writer.write(batch)

    def _is_current(self, batch: Batch) -> bool:
        return all(self._assignment.is_current(number, span.epoch) for number, span in batch.spans.items())

    def _note(self, topic: str, error: Exception) -> None:
        self.retries += 1
        if self._reasons.is_new(str(error)):
            log.warning("write_failed", topic=topic, reason=str(error))
        self.problem = str(error)
        self.problem_at = "kafka" if isinstance(error, TopicUnconfirmedError) else "postgres"
