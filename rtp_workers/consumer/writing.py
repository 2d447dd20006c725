"""Writes batches to PostgreSQL on two threads, while the main thread decodes the next one.

Each thread writes one batch in one transaction, over a connection of its own. While the first batch is being
committed, the rows of the second are already on their way. The second moves the ledger only when the COMMIT of the
first is known to have succeeded (`turns`). If the first fails, the second is rolled back and starts over. So what is
committed is the same, and in the same order, as if one thread wrote them all.

psycopg2 releases the interpreter during COPY, so the threads really run in parallel.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rtp_workers import logs
from rtp_workers.backoff import Backoff
from rtp_workers.consumer.assignment import Assignment
from rtp_workers.consumer.reasons import Reasons
from rtp_workers.consumer.state import Written
from rtp_workers.consumer.turns import TurnLostError, Turns
from rtp_workers.errors import AttentionError, ConfigError, TransientError
from rtp_workers.kafka.topic_watch import TopicReplacedError, TopicUnconfirmedError
from rtp_workers.postgres.batch import Batch, halves
from rtp_workers.postgres.batch_writer import BatchWriter
from rtp_workers.postgres.blocking import stands_in_the_way
from rtp_workers.postgres.connection import ConnectionLostError, Cursor, MemoryRefusedError
from rtp_workers.postgres.ledger import LedgerMovedError
from rtp_workers.watchdog import Beat

LANES = 2
TRIES_FOR_MEMORY = 3
# How soon a batch notices that the one before it waits for a lock of its own.
LOOK_S = 0.05
# After that, batches go one by one for a while: the feed repeats ids within a short time.
BATCHES_ONE_BY_ONE = 50
# A batch does not hold its locks ahead of its turn for longer.
AHEAD_AT_MOST_S = 5.0
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


@dataclass(slots=True)
class Attempts:
    """How the attempts to write one batch have gone so far.

    Attributes:
        ahead: the next attempt may begin before the batch's turn.
        in_doubt: an attempt has lost its connection, maybe during COMMIT.
    """

    ahead: bool
    in_doubt: bool = False
    backoff: Backoff = field(default_factory=Backoff)


class Lane:
    """One of the two threads, with at most one batch.

    Attributes:
        number: the number of its batch.
        batch: what it writes, or None.
        writer: the connection that the current attempt uses, or None between attempts.
        busy_since: when the current attempt began (monotonic); None between attempts, and while it waits for its turn.
    """

    def __init__(self, beat: Beat) -> None:
        self.beat = beat
        self.number = 0
        self.batch: Batch | None = None
        self.writer: BatchWriter | None = None
        self.busy_since: float | None = None

    @property
    def busy_s(self) -> float:
        """Seconds since the current attempt began; 0 between attempts."""
        since = self.busy_since
        return 0.0 if since is None else time.monotonic() - since


class Writing:
    """Writes batches in the given order, two at a time.

    Args:
        writers: one or two, each with a connection of its own. With one, batches are written one by one.
        assignment: tells whether a batch's partitions are still ours.
        beats: the watchdog's, one for each thread.
        rows_to_go_ahead: a batch of fewer rows waits for its turn before it begins. There is little to gain, and a slow
            feed needs no second connection.

    Attributes:
        outcomes: what the main thread takes from here: `Written`, `Overtaken` or `TooLarge`, in order.
        problem: why the current batch cannot be written yet, or None.
        problem_at: which server causes the problem: ``kafka`` or ``postgres``.
        retries: how many attempts failed since the start.
        failure: an unexpected error that ended a thread, or None.
    """

    def __init__(
        self, writers: Sequence[BatchWriter], assignment: Assignment, beats: Sequence[Beat], rows_to_go_ahead: int = 0
    ) -> None:
        self._rows_to_go_ahead = rows_to_go_ahead
        self._writers = list(writers)
        self._free_writers = list(writers)
        self._assignment = assignment
        self._turns = Turns()
        self._changed = self._turns.changed
        self._stopping = threading.Event()
        self.outcomes: deque[Written | Overtaken | TooLarge] = deque()
        self.problem: str | None = None
        self.problem_at = "postgres"
        self._reasons = Reasons()
        self.retries = 0
        self.failure: BaseException | None = None
        self._lanes = [Lane(beat) for beat in beats]
        self._threads = [
            threading.Thread(target=self._run, args=(lane,), name=lane.beat.name, daemon=True) for lane in self._lanes
        ]
        for thread in self._threads:
            thread.start()

    @property
    def free(self) -> bool:
        """True when `submit` takes a batch without waiting."""
        return any(lane.batch is None for lane in self._lanes)

    @property
    def idle(self) -> bool:
        """True if no batch is being written."""
        return all(lane.batch is None for lane in self._lanes)

    @property
    def busy_s(self) -> float:
        """Seconds since the current attempt of the oldest batch began; 0 between attempts."""
        return self._oldest.busy_s

    @property
    def backend_pid(self) -> int | None:
        """The server process that writes the oldest batch, or None without a connection."""
        writer = self._oldest.writer
        return None if writer is None else writer.backend_pid

    @property
    def backend_pids(self) -> list[int]:
        """The server processes of both connections."""
        return [pid for writer in self._writers if (pid := writer.backend_pid) is not None]

    def holds(self, kafka_partition: int) -> bool:
        """Tells whether a batch with offsets of this partition is being written or waits."""
        return any(batch is not None and kafka_partition in batch.spans for batch in self._batches())

    def submit(self, batch: Batch) -> None:
        """Hands over a batch. Allowed only while `free`."""
        with self._changed:
            lane = next(lane for lane in self._lanes if lane.batch is None)
            lane.number, lane.batch = self._turns.give(), batch
            self._changed.notify_all()

    def wait_free(self, timeout_s: float) -> bool:
        """Waits until `free`. Returns False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self.free or self.failure is not None, timeout_s)

    def wait_idle(self, timeout_s: float) -> bool:
        """Waits until every submitted batch is written or dropped. Returns False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self.idle or self.failure is not None, timeout_s)

    def abandon(self, after_s: float) -> bool:
        """Breaks the connections whose current attempt takes longer. Returns False if there are none."""
        late = [lane.writer for lane in self._lanes if lane.busy_s > after_s and lane.writer is not None]
        for writer in late:
            writer.abort()
        return bool(late)

    def raise_failure(self) -> None:
        """Raises the error that has ended a thread, if any. For the main thread, which owns the process."""
        if self.failure is not None:
            raise self.failure

    def stop(self, timeout_s: float) -> None:
        """Finishes the current attempts and ends. A batch that waits is dropped (its records are still in Kafka)."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._join(timeout_s)
        if any(thread.is_alive() for thread in self._threads):
            for writer in self._writers:
                writer.abort()
            self._join(timeout_s)

    def _join(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def _oldest(self) -> Lane:
        return min(self._lanes, key=lambda lane: (lane.batch is None, lane.number))

    def _batches(self) -> list[Batch | None]:
        return [lane.batch for lane in self._lanes]

    # On the two threads

    def _run(self, lane: Lane) -> None:
        try:
            while (batch := self._next(lane)) is not None:
                if not self._write(lane, batch, Attempts(ahead=len(batch.lines) >= self._rows_to_go_ahead)):
                    self._turns.close()
                with self._changed:
                    lane.batch = None
                    self._turns.end(lane.number)
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread, which owns the process
            self.failure = error
            self._turns.close()
        finally:
            lane.beat.end()
            if all(lane.beat.over for lane in self._lanes):
                for writer in self._writers:
                    writer.close()

    def _next(self, lane: Lane) -> Batch | None:
        with lane.beat.waiting(), self._changed:
            self._changed.wait_for(lambda: lane.batch is not None or self._stopping.is_set())
            return None if self._stopping.is_set() else lane.batch

    def _write(self, lane: Lane, batch: Batch, attempts: Attempts) -> bool:
        """Writes the batch, or says why that is not possible. Returns False if the writing ends before."""
        batch.await_turn = lambda cursor: self._await_turn(lane, cursor)
        while not self._stopping.is_set():
            attempts.ahead = attempts.ahead and self._turns.may_go_ahead(lane.number) and self._is_current(batch)
            if not attempts.ahead and not self._comes_to_its_turn(lane):
                break
            if not self._is_current(batch):
                self.outcomes.append(Overtaken(batch, "its partitions are no longer ours"))
            elif not self._is_done(lane, batch, attempts):
                continue
            self.problem = None
            self._reasons.clear()
            return True
        return False

    def _comes_to_its_turn(self, lane: Lane) -> bool:
        with lane.beat.waiting():
            return self._turns.wait(lane.number) and not self._stopping.is_set()

    def _is_done(self, lane: Lane, batch: Batch, attempts: Attempts) -> bool:
        """Makes one attempt. Returns False if the batch has to be tried again."""
        try:
            with lane.beat.waiting(), self._writer(lane) as writer:
                self.outcomes.append(self._attempt(writer, batch, attempts))
        except (LedgerMovedError, TopicReplacedError) as error:
            self.outcomes.append(Overtaken(batch, str(error)))
        except (TransientError, AttentionError, ConfigError) as error:
            return self._is_given_up(lane, batch, attempts, error)
        return True

    def _attempt(self, writer: BatchWriter, batch: Batch, attempts: Attempts) -> Written:
        started = time.monotonic()
        if attempts.backoff.tries:
            # Outside a transaction: while Kafka is away, no rows are written only to be rolled back.
            batch.confirm()
        if attempts.in_doubt and writer.settled(batch):
            log.info("commit_settled_from_ledger", topic=batch.topic)
            counts = None
        else:
            counts = writer.write(batch)
        spans = {partition: (span.start_offset, span.next_offset) for partition, span in batch.spans.items()}
        rows = len(batch.lines) + len(batch.dead_letters)
        return Written(spans, counts, rows, time.monotonic() - started, batch.appended_ms)

    def _is_given_up(self, lane: Lane, batch: Batch, attempts: Attempts, error: Exception) -> bool:
        """Waits before the next attempt, or writes the batch in parts. Returns True if none is due any more."""
        if attempts.ahead and not self._turns.is_mine(lane.number):
            attempts.ahead = False  # Nothing of it is committed. It begins again in its turn.
            return False
        attempts.ahead = False
        self._turns.fail()
        self._note(batch.topic, error)
        if isinstance(error, MemoryRefusedError):
            if self._wrote_in_parts(lane, batch) or self._is_too_large(batch, attempts.backoff.tries, error):
                return True
        else:
            attempts.in_doubt = attempts.in_doubt or isinstance(error, ConnectionLostError)
            lane.beat.turn()
        self._stopping.wait(attempts.backoff.next_s(getattr(error, "retry_after_s", None)))
        return False

    @contextmanager
    def _writer(self, lane: Lane) -> Iterator[BatchWriter]:
        """Lends a connection for one attempt: an open one, if there is one."""
        with self._changed:
            writer = max(self._free_writers, key=lambda free: free.backend_pid is not None)
            self._free_writers.remove(writer)
        lane.writer, lane.busy_since = writer, time.monotonic()
        try:
            yield writer
        finally:
            lane.writer = lane.busy_since = None
            with self._changed:
                self._free_writers.append(writer)

    def _await_turn(self, lane: Lane, cursor: Cursor) -> None:
        """Waits inside the batch's transaction, after its rows have landed, until it may move the ledger.

        Raises:
            TurnLostError: it has to be rolled back, and starts over in its turn.
        """
        if self._turns.is_mine(lane.number):
            return
        lane.busy_since, deadline = None, time.monotonic() + AHEAD_AT_MOST_S
        while not self._turns.wait_ahead(lane.number, LOOK_S):
            if self._blocks_the_one_before(lane, cursor):
                self._turns.one_by_one(lane.number + BATCHES_ONE_BY_ONE)
                raise TurnLostError("the batch before this one waits for a lock of this one")
            if time.monotonic() > deadline:
                raise TurnLostError("the batch before this one takes very long")
        lane.busy_since = time.monotonic()

    def _blocks_the_one_before(self, lane: Lane, cursor: Cursor) -> bool:
        before = next(other for other in self._lanes if other is not lane).writer
        pid = None if before is None else before.backend_pid
        return pid is not None and stands_in_the_way(cursor, pid)

    def _wrote_in_parts(self, lane: Lane, batch: Batch) -> bool:
        """Writes the batch in two halves, each of which may be halved again. Returns False for a single record."""
        parts = halves(batch)
        if parts is None:
            return False
        for part in parts:
            if part and not self._stopping.is_set():
                self._write(lane, part, Attempts(ahead=False))
        return True

    def _is_too_large(self, batch: Batch, tries: int, error: MemoryRefusedError) -> bool:
        """Gives up on a single record after `TRIES_FOR_MEMORY` attempts. Before that, the shortage may pass."""
        if tries < TRIES_FOR_MEMORY:
            return False
        for number, span in batch.spans.items():
            self.outcomes.append(TooLarge(number, span.next_offset - 1, str(error)))
        return True

    def _is_current(self, batch: Batch) -> bool:
        return all(self._assignment.is_current(number, span.epoch) for number, span in batch.spans.items())

    def _note(self, topic: str, error: Exception) -> None:
        self.retries += 1
        if self._reasons.is_new(str(error)):
            log.warning("write_failed", topic=topic, reason=str(error))
        self.problem = str(error)
        self.problem_at = "kafka" if isinstance(error, TopicUnconfirmedError) else "postgres"
