"""The control thread: does everything slow or remote that the main thread must not wait for.

It looks at the topic (its id, its ends), reads the platform-wide pause, and finds in the ledger where a partition
resumes. It compares the ledger with Kafka's log and with the main thread's positions, and it ends an ingest session
that blocks our writer. The main thread reads `view`, `take_offsets` and `take_setback`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from rtp_workers import logs
from rtp_workers.consumer.continuity import Continuity
from rtp_workers.consumer.diagnosis import DiagnosisThread
from rtp_workers.consumer.disk import full_disk
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import RtpError
from rtp_workers.kafka.log_reader import LogReader
from rtp_workers.kafka.topic_watch import TopicView, TopicWatch
from rtp_workers.postgres import blocking, control, ledger, losses
from rtp_workers.postgres.connection import Connection, break_off, connect, translated
from rtp_workers.postgres.ledger import Place, WrongGroupError
from rtp_workers.postgres.pooling import PooledSessionError
from rtp_workers.reconcile.log_comparison import LogUnreadError

LOOK_EVERY_S = 0.5
# The server ends a statement of ours after 5 s. If it is silent for this long, it is lost, though the socket is open.
SILENT_S = 15.0
# How often the marks of open partitions are compared with Kafka's log; they are also compared at every assignment.
COMPARE_EVERY_S = 60.0
WARNINGS_EVERY_S = 3.0
COMPACTED = (
    "topic {topic} is compacted (cleanup.policy): Kafka may delete records before they are stored here, so nothing is "
    "consumed. Correct it with `rtp topics --alter`, or accept the loss with RTP_CONSUMER_ALLOW_COMPACTED=true"
)
STATEMENT_TIMEOUT = "-c statement_timeout=5s -c lock_timeout=5s"
log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """What the control thread saw last.

    Attributes:
        topic: the topic; None while it does not exist or has never been seen.
        seen: True once Kafka has answered.
        paused: the platform-wide pause, with its reason.
        problems: by place: ``kafka``, ``postgres``, ``topic``, ``hole:<kafka_partition>``, ``log:<kafka_partition>``;
            and ``disk`` if a full disk probably causes the others.
        warnings: what a person should know and confirm while records flow, by ``loss:<kafka_partition>``.
        ledger_id: the id of the database; None until it was reached once, empty if it cannot be known.
    """

    topic: TopicView | None = None
    seen: bool = False
    paused: bool = False
    paused_reason: str | None = None
    problems: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    ledger_id: str | None = None


class ControlThread:
    """Looks every `LOOK_EVERY_S`, and at once when asked for offsets.

    Attributes:
        view: what it saw last; replaced as a whole, never changed in place.
        diagnosis: finds out why records wait; ends with this thread.
        failure: an error that ends the process (a ConfigError, or a bug of ours), or None.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        topic: str,
        group_id: str,
        dsn: str,
        *,
        allow_compacted: bool = False,
        home: Path | None = None,
    ) -> None:
        self._home = home
        self._allow_compacted = allow_compacted
        self._watch = TopicWatch(endpoints, topic)
        self.diagnosis = DiagnosisThread(endpoints, topic, group_id)
        self._topic, self._group_id, self._dsn = topic, group_id, dsn
        self._connection: Connection | None = None
        self._wanted: dict[int, int] = {}
        self._found: dict[int, tuple[int, Place]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._writer_pid: int | None = None
        self._siblings: Sequence[int] = ()
        self._asking_since: float | None = None
        self._continuity = Continuity(lambda: LogReader(endpoints, topic, group_id), self._not_asking)
        self._standing: dict[int, Place] = {}
        self._setback: str | None = None
        self._compare_due_at = 0.0
        self._warnings_due_at = 0.0
        self._stored: dict[int, Place] = {}
        self.view = View()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    def want_offsets(self, epochs: dict[int, int]) -> None:
        """Asks where these partitions resume. Each answer carries the epoch. A new question replaces an earlier one."""
        with self._lock:
            if self._wanted == epochs:
                return
            self._wanted = dict(epochs)
        self._wake.set()

    def take_offsets(self) -> dict[int, tuple[int, Place]]:
        """Returns the answers since the last call: kafka_partition -> (epoch asked for, where it resumes)."""
        if not self._found:
            return {}
        with self._lock:
            found, self._found = self._found, {}
        return found

    def stand_at(self, places: dict[int, Place]) -> None:
        """Tells the ledger's positions that the main thread knows, for its open partitions. Marks are ignored."""
        self._standing = places

    def take_setback(self) -> str | None:
        """Returns once why every open partition must be looked up again; None if there is no reason."""
        setback, self._setback = self._setback, None
        return setback

    def confirmation(self, topic_id: str) -> Callable[[], None]:
        """Asks whether the topic still has this id. The returned function waits for the answer (see `TopicCheck`)."""
        return self._watch.check(topic_id).confirm

    def writer_is_stuck(self, backend_pid: int | None, siblings: Sequence[int] = ()) -> None:
        """Tells that our writer has been in one statement for long (None: it has not), to find out who blocks it.

        Args:
            backend_pid: the server process of the writer.
            siblings: server processes of all our writers, which are never ended.
        """
        self._writer_pid, self._siblings = backend_pid, siblings

    def give_up_silent_session(self) -> None:
        """Drops the connection to PostgreSQL if it has been silent for `SILENT_S`. A new one is then opened."""
        since, connection = self._asking_since, self._connection
        if since is not None and connection is not None and time.monotonic() - since > SILENT_S:
            self._asking_since = None
            log.warning("silent_session_given_up", reason=f"PostgreSQL has not answered for {SILENT_S:g} s")
            break_off(connection)

    def raise_failure(self) -> None:
        """Raises the error that has ended the thread, if any. For the main thread, which owns the process."""
        if self.failure is not None:
            raise self.failure

    def stop(self, timeout_s: float) -> None:
        """Ends the thread. It is a daemon: if it hangs in a dead connection, the process can still end."""
        self.diagnosis.stop()
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._look()
                except MemoryError:
                    log.warning("look_skipped", topic=self._topic, reason="this process has no memory left")
                    self._disconnect()
                self._wake.wait(LOOK_EVERY_S)
                self._wake.clear()
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread, which owns the process
            self.failure = error
        finally:
            self._disconnect()

    def _look(self) -> None:
        view = self._look_at_kafka(replace(self.view, problems={}))
        self._asking_since = time.monotonic()
        try:
            view = self._look_at_postgres(view)
        except (WrongGroupError, PooledSessionError):
            raise
        except LogUnreadError as error:
            view = replace(view, problems={**view.problems, "kafka": str(error)})
        except RtpError as error:
            view = self._postgres_away(view, error)
        finally:
            self._asking_since = None
        self.view = self._with_full_disk(view)

    def _with_full_disk(self, view: View) -> View:
        full = full_disk(self._home) if view.problems and self._home is not None else None
        return view if full is None else replace(view, problems={**view.problems, "disk": full})

    def _postgres_away(self, view: View, error: RtpError) -> View:
        self._disconnect()
        return replace(view, problems={**view.problems, "postgres": str(error)})

    def _look_at_kafka(self, view: View) -> View:
        try:
            topic = self._watch.look()
        except RtpError as error:
            return replace(view, problems={"kafka": str(error)})
        self.diagnosis.kafka_answered.set()
        if topic is None:
            missing = f"topic {self._topic} does not exist; create it with `rtp topics`"
            return replace(view, seen=True, topic=None, problems={"topic": missing})
        if topic.compacted and not self._allow_compacted:
            return replace(view, seen=True, topic=topic, problems={"topic": COMPACTED.format(topic=self._topic)})
        return replace(view, seen=True, topic=topic)

    def _look_at_postgres(self, view: View) -> View:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._dsn, blocking.CONTROL_NAME, autocommit=True, options=STATEMENT_TIMEOUT)
            self._asking_since = time.monotonic()
            view = replace(view, ledger_id=ledger.identity(self._connection))
        pause = control.read_pause(self._connection)
        problems = dict(view.problems)
        if view.topic is not None and not problems:
            problems |= self._find_offsets(self._connection, view.topic)
            self._compare_standing(self._connection, view.topic)
        if self._writer_pid is not None:
            ended = blocking.end_blocking_sessions(self._connection, self._writer_pid, self._siblings)
            if ended:
                log.warning("blocking_session_ended", backends=ended)
        compacted = view.topic is not None and problems.get("topic")
        return replace(
            view,
            paused=pause.paused or bool(compacted),
            paused_reason=compacted or pause.reason,
            problems=problems,
            warnings=self._warned(self._connection),
        )

    def _find_offsets(self, connection: Connection, topic: TopicView) -> dict[str, str]:
        """Answers the question for offsets. Returns the problems that keep partitions from resuming."""
        with self._lock:
            wanted = dict(self._wanted)
        starts = {number: topic.log[number][0] for number in wanted if number in topic.log}
        if not starts:
            return {}
        belongs = ledger.Topic(self._topic, topic.topic_id, self._group_id)
        problems: dict[str, str] = {}
        places: dict[int, Place] = {}
        for number, place in ledger.open_partitions(connection, belongs, starts).items():
            passed, problem = _past_hole(connection, topic, number, place)
            if problem is None:
                places[number] = passed
            else:
                problems[f"hole:{number}"] = problem
        good, unclear = self._continuity.checked(connection, belongs, places, topic.log)
        with self._lock:
            for number, place in good.items():
                if self._wanted.get(number) == wanted[number]:
                    self._found[number] = (wanted[number], place)
                    del self._wanted[number]
        return {**problems, **{f"log:{number}": problem for number, problem in unclear.items()}}

    def _compare_standing(self, connection: Connection, topic: TopicView) -> None:
        """Records a setback if an open partition is no longer at its position in the ledger or in Kafka's log."""
        standing = self._standing
        if not standing or self._setback is not None:
            self._stored = {}
            return
        with translated("compare the ledger with what was read from it"), connection.cursor() as cursor:
            stored = ledger.places(cursor, topic.topic_id, list(standing))
        # Kafka's log was read before `stored`, and both grow. So the earlier positions of the ledger are compared.
        before = {
            number: place
            for number, place in self._stored.items()
            if number in topic.log and number in standing and place.generation == standing[number].generation
        }
        self._stored = stored
        self._setback = _went_back(standing, stored) or _beyond(before, topic)
        if self._setback is None and time.monotonic() >= self._compare_due_at:
            self._compare_due_at = time.monotonic() + COMPARE_EVERY_S
            self._setback = self._continuity.doubt(before, topic.log)

    def _warned(self, connection: Connection) -> dict[str, str]:
        """Returns a warning for each unconfirmed loss. They are read every `WARNINGS_EVERY_S`."""
        if time.monotonic() < self._warnings_due_at:
            return self.view.warnings
        self._warnings_due_at = time.monotonic() + WARNINGS_EVERY_S
        return {
            f"loss:{loss.kafka_partition}:{loss.generation}": loss.sentence()
            for loss in losses.listed(connection, unconfirmed_only=True)
        }

    @contextmanager
    def _not_asking(self) -> Iterator[None]:
        """Nothing is asked of PostgreSQL during the block, so its silence means nothing."""
        self._asking_since = None
        try:
            yield
        finally:
            self._asking_since = time.monotonic()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _past_hole(connection: Connection, topic: TopicView, number: int, place: Place) -> tuple[Place, str | None]:
    """Counts a hole before the log's start if a person has accepted it. Else returns that it waits for a person."""
    start = topic.log[number][0]
    if place.offset >= start:
        return place, None
    hole = control.Hole(topic.topic_id, number, place.generation, place.offset, start)
    if control.note_hole(connection, hole):
        control.count_hole(connection, hole)
        return place._replace(offset=start), None
    return place, (
        f"partition {number}: {start - place.offset:,} records ({place.offset} to {start - 1}) were deleted by "
        "retention before they were stored; continue without them with `rtp resume --accept-holes`"
    )


def _went_back(standing: dict[int, Place], stored: dict[int, Place]) -> str | None:
    """Returns a sentence about a partition whose ledger position went back, which never happens by itself; or None."""
    for number, place in sorted(standing.items()):
        now = stored.get(number)
        if now is not None and now.generation > place.generation:
            return f"partition {number}: generation {now.generation} of its log has begun; it is read again"
        if now is None or now.generation < place.generation or now.offset < place.offset:
            at = "is no longer in the ledger" if now is None else f"is at {now.offset} now"
            return (
                f"partition {number}: the ledger went back: it was at {place.offset} and {at} (PostgreSQL was "
                "restored, or has lost its last commits); the records are read again"
            )
    return None


def _beyond(stored: dict[int, Place], topic: TopicView) -> str | None:
    """Returns a sentence about a partition whose log ends before the ledger's position, or None."""
    for number, place in sorted(stored.items()):
        end = topic.log[number][1]
        if place.offset > end:
            return f"partition {number}: the ledger is at {place.offset}, but Kafka's log ends at {end}"
    return None
