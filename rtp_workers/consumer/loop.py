"""The consumer: Kafka -> PostgreSQL, exactly once.

    main thread      poll -> decode -> batch           (this module, `assembly`)
    writing thread   COPY -> ledger -> COMMIT          (`writing`, `postgres.batch_writer`)
    control thread   topic, pause, ledger offsets      (`control`)

A batch is closed when the writer is free, so batches are small when little comes (low latency) and large when much
does (throughput). When the writer is not free the open batch grows to its bounds; then delivery is paused.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from rtp_workers import logs
from rtp_workers.consumer.assembly import Assembler
from rtp_workers.consumer.assignment import Assignment
from rtp_workers.consumer.control import ControlThread
from rtp_workers.consumer.garbage import Garbage
from rtp_workers.consumer.state import ConsumerState, Written
from rtp_workers.consumer.writing import WritingThread
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import RtpError
from rtp_workers.failpoints import Failpoint
from rtp_workers.kafka.record_consumer import ConsumerLimits, Polled, Rebalances, RecordConsumer
from rtp_workers.postgres.batch_writer import BatchWriter
from rtp_workers.settings import ConsumerSettings

POLL_RECORDS = 5_000
IDLE_POLL_S = 0.05
# A write that takes this long is looked at: another ingest session may block it.
STUCK_AFTER_S = 5.0
# A write without any answer for this long has lost its server without noticing: the connection is broken off. It may
# be on a slow line instead, so each time that it is broken off, it gets twice as long.
ABANDON_AFTER_S = 60.0
ABANDON_AFTER_AT_MOST_S = 960.0
HELD_AFTER_S = 1.0
REVOKE_FLUSH_S = 10.0
# Together 12 s at most, which is what `rtp up` grants: last batch, writer (twice), group, control thread.
LAST_WRITE_S = 4.0
STOP_S = 1.5
LEAVE_S = 3.5
COMMIT_EVERY_S = 1.0
# The writing thread wants the interpreter some twenty times a batch; Python's 5 ms until it gets it would add up.
SWITCH_INTERVAL_S = 0.0005
log = logs.get(__name__)


class TopicChangedError(RtpError):
    """The topic was deleted and made again: everything starts over with its new id."""


class ConsumerLoop:
    """One consumer process's work, from start to stop.

    Args:
        settings: limits, topic and group.
        endpoints: where Kafka and PostgreSQL are.
        state: written here, read by the API.
    """

    def __init__(self, settings: ConsumerSettings, endpoints: Endpoints, state: ConsumerState) -> None:
        self._settings = settings
        self._endpoints = endpoints
        self._state = state
        self._stop = False
        self._garbage = Garbage()

    def stop(self) -> None:
        """Asks the loop to end; safe in a signal handler."""
        self._stop = True

    def run(self, until: Callable[[ConsumerState], bool] = lambda _: False) -> None:
        """Consumes until stopped, or until `until` says so; what is not written then is still in Kafka.

        Raises:
            ConfigError: the ledger belongs to another group, or settings are wrong.
        """
        dsn = self._endpoints.need("postgres_ingest_dsn")
        self._garbage.take_over()
        switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        control = ControlThread(self._endpoints, self._settings.topic, self._settings.group_id, dsn)
        try:
            while not self._stop and not until(self._state):
                topic_id = self._await_topic(control)
                if topic_id is None:
                    continue
                session = Session(self._settings, self._endpoints, self._state, control, self._garbage, topic_id)
                try:
                    session.run(lambda: self._stop or until(self._state))
                except TopicChangedError as error:
                    log.warning("topic_changed", topic=self._settings.topic, reason=str(error))
                finally:
                    session.close()
        finally:
            control.stop(STOP_S)
            self._garbage.hand_back()
            sys.setswitchinterval(switch_interval_s)

    def _await_topic(self, control: ControlThread) -> str | None:
        _raise_failure(control.failure)
        self._garbage.collect_when_due()
        control.give_up_silent_session()
        view = control.view
        _note_problems(self._state, dict(view.problems) or ({} if view.seen else {"kafka": "not reached yet"}))
        if view.topic is None or "kafka" in view.problems:
            time.sleep(IDLE_POLL_S)
            return None
        return view.topic.topic_id


class Session:
    """Consuming one topic, known by its id, as one member of the group."""

    def __init__(
        self,
        settings: ConsumerSettings,
        endpoints: Endpoints,
        state: ConsumerState,
        control: ControlThread,
        garbage: Garbage,
        topic_id: str,
    ) -> None:
        self._settings, self._state, self._control, self._topic_id = settings, state, control, topic_id
        self._garbage = garbage
        self._assignment = Assignment()
        writer = BatchWriter(endpoints.need("postgres_ingest_dsn"), Failpoint.parse(settings.failpoint))
        self._writer = writer
        self._writing = WritingThread(writer, self._assignment)
        self._assembler = Assembler(settings.topic, topic_id, self._assignment)
        self._held = False
        self._uncommitted: dict[int, int] = {}
        self._commit_due_at = 0.0
        self._abandon_after_s = ABANDON_AFTER_S
        self._closing = False
        state.topic_id, state.positions, state.settled_at, state.rebalances = topic_id, {}, None, 0
        limits = ConsumerLimits(
            settings.consumer_queue_bytes, settings.consumer_session_timeout_s, settings.consumer_max_poll_interval_s
        )
        self._consumer = RecordConsumer(
            endpoints,
            settings.topic,
            settings.group_id,
            limits,
            Rebalances(self._on_assigned, self._on_revoked, self._on_lost),
        )
        log.info("consumer_started", topic=settings.topic, topic_id=topic_id, group_id=settings.group_id)

    def run(self, finished: Callable[[], bool]) -> None:
        """Consumes until `finished`.

        Raises:
            TopicChangedError: the topic has another id now, or the client is broken: make another session.
        """
        while not finished():
            self._serve()
            if self._is_full() or self._state.paused:
                self._wait(finished)
                continue
            polled = self._consumer.poll(self._room(), self._poll_s())
            self._take(polled)
            self._submit()

    def close(self) -> None:
        """Writes what has been handed over, drops the rest, and leaves the group; ends within seconds."""
        self._closing = True
        self._writing.wait_idle(LAST_WRITE_S if self._writing.problem is None else 0.0)
        self._take_outcomes()
        self._writing.stop(STOP_S)
        self._assignment.given_up(self._assignment.owned)
        # The client waits a minute for a Kafka that does not answer. Where we don't, the group's session times out.
        leaving = threading.Thread(target=self._leave, name="leaving", daemon=True)
        leaving.start()
        leaving.join(LEAVE_S)
        if leaving.is_alive():
            log.warning("group_not_left", topic=self._settings.topic, reason=f"no answer from Kafka in {LEAVE_S:g} s")
        log.info("consumer_stopped", topic=self._settings.topic, inserted=self._state.totals.inserted)

    def _leave(self) -> None:
        try:
            self._consumer.commit(self._uncommitted, wait=True)
        except RtpError as error:
            log.info("offsets_not_shown_in_kafka", reason=str(error))
        self._consumer.close()

    # What happens between two polls

    def _serve(self) -> None:
        _raise_failure(self._control.failure)
        _raise_failure(self._writing.failure)
        self._take_outcomes()
        self._open_partitions()
        self._watch_writer()
        self._commit_for_display()
        self._control.give_up_silent_session()
        self._garbage.collect_when_due()
        self._update_state()
        topic = self._control.view.topic
        if topic is not None and topic.topic_id != self._topic_id:
            raise TopicChangedError(f"the topic's id was {self._topic_id}, it is {topic.topic_id} now")

    def _take_outcomes(self) -> None:
        while self._writing.outcomes:
            outcome = self._writing.outcomes.popleft()
            if isinstance(outcome, Written):
                self._abandon_after_s = ABANDON_AFTER_S
                self._state.wrote(outcome)
                self._uncommitted.update({number: span[1] for number, span in outcome.spans.items()})
            else:
                log.warning("batch_dropped", topic=self._settings.topic, reason=outcome.why)
                self._start_over()

    def _start_over(self) -> None:
        """Forgets everything not written; each partition goes on from where the ledger says."""
        self._assembler.drop()
        self._consumer.stop(self._assignment.positions)
        self._assignment.reset()

    def _open_partitions(self) -> None:
        assignment = self._assignment
        if not assignment.pending:
            # What was asked for a partition that has left us must not be asked again and again, nor be a problem here.
            self._control.want_offsets({})
            return
        found = self._control.take_offsets()
        offsets = {
            number: offset
            for number, (epoch, offset) in found.items()
            if number in assignment.pending and assignment.epochs[number] == epoch
        }
        if offsets:
            self._consumer.start(offsets)
            assignment.opened(offsets)
            self._state.positions.update(offsets)
            log.info("partitions_opened", topic=self._settings.topic, offsets=offsets)
            if self._held or self._state.paused:
                self._consumer.pause()
        if assignment.pending:
            self._control.want_offsets({number: assignment.epochs[number] for number in assignment.pending})

    def _watch_writer(self) -> None:
        busy_s = self._writing.busy_s
        self._control.writer_is_stuck(self._writer.backend_pid if busy_s > STUCK_AFTER_S else None)
        if busy_s > self._abandon_after_s:
            self._abandon_after_s = min(2 * self._abandon_after_s, ABANDON_AFTER_AT_MOST_S)
            log.warning("write_abandoned", seconds=round(busy_s))
            self._writer.abort()

    def _commit_for_display(self) -> None:
        now = time.monotonic()
        if self._uncommitted and now >= self._commit_due_at:
            self._commit_due_at = now + COMMIT_EVERY_S
            offsets, self._uncommitted = self._uncommitted, {}
            try:
                self._consumer.commit(offsets)
            except RtpError as error:
                log.debug("offsets_not_shown_in_kafka", reason=str(error))

    def _update_state(self) -> None:
        view, state = self._control.view, self._state
        problems = dict(view.problems)
        busy_s = self._writing.busy_s
        if self._writing.problem is not None:
            problems["postgres"] = self._writing.problem
        elif busy_s > STUCK_AFTER_S:
            problems["postgres"] = (
                f"a batch has been on its way into PostgreSQL for {busy_s:.0f} s: a lock, a full disk or a slow line; "
                "pg_stat_activity shows what it waits for"
            )
        _note_problems(state, problems)
        state.retries = self._writing.retries
        state.unknown_fields, state.careful_records = self._assembler.unknown_fields, self._assembler.careful
        state.assigned = self._assignment.owned
        if not state.rebalances or self._assignment.pending:
            state.settled_at = None
        elif state.settled_at is None:
            state.settled_at = time.monotonic()
        if view.topic is not None:
            state.log = view.topic.log
        if view.paused != state.paused:
            log.info("paused" if view.paused else "resumed", reason=view.paused_reason)
        state.paused, state.paused_reason = view.paused, view.paused_reason

    # Moving records

    def _room(self) -> int:
        return max(1, min(POLL_RECORDS, self._settings.consumer_batch_rows - self._assembler.rows))

    def _is_full(self) -> bool:
        settings, assembler = self._settings, self._assembler
        full = assembler.rows >= settings.consumer_batch_rows or assembler.bytes >= settings.consumer_batch_bytes
        return full and not self._writing.free

    def _poll_s(self) -> float:
        recent = time.monotonic() - self._state.last_record_at < 1.0
        return self._settings.consumer_batch_age_ms / 1000 if recent or self._assembler.rows else IDLE_POLL_S

    def _take(self, polled: Polled) -> None:
        for error in polled.errors:
            log.info("kafka_trouble", reason=str(error))
        if polled.records or polled.ends:
            self._assembler.add(polled.records, polled.ends)
            if polled.records:
                self._state.last_record_at = time.monotonic()
        if polled.out_of_range:
            log.warning("offset_out_of_range", topic=self._settings.topic, partitions=polled.out_of_range)
            self._start_over()
        if polled.broken:
            raise TopicChangedError("the Kafka client is broken; another is made")

    def _submit(self) -> None:
        if self._writing.free and self._assembler.has_work:
            batch = self._assembler.take()
            batch.confirm = self._control.confirmation(self._topic_id)
            self._writing.submit(batch)

    def _wait(self, finished: Callable[[], bool]) -> None:
        """The batch is full and the writer is not free, or ingestion is paused: hold delivery, stay in the group."""
        if not self._state.paused and self._writing.wait_free(HELD_AFTER_S):
            self._submit()
            return
        self._hold()
        while self._must_hold() and not finished():
            polled = self._consumer.poll(POLL_RECORDS, 2 * IDLE_POLL_S)
            self._take(polled)
            self._submit()
            self._serve()
        self._release()

    def _must_hold(self) -> bool:
        return self._state.paused or self._is_full()

    def _hold(self) -> None:
        self._held = True
        self._consumer.pause()

    def _release(self) -> None:
        self._held = False
        self._consumer.resume()

    # Rebalances, on the main thread, inside a poll

    def _on_assigned(self, partitions: list[int]) -> None:
        log.info("partitions_assigned", topic=self._settings.topic, partitions=partitions)
        self._state.rebalances += 1
        self._assignment.assigned(partitions)

    def _on_revoked(self, partitions: list[int]) -> None:
        log.info("partitions_revoked", topic=self._settings.topic, partitions=partitions)
        if not self._closing and self._writing.problem is None and self._writing.wait_free(REVOKE_FLUSH_S):
            self._submit()
            self._writing.wait_idle(REVOKE_FLUSH_S)
        self._give_up(partitions)

    def _on_lost(self, partitions: list[int]) -> None:
        log.warning("partitions_lost", topic=self._settings.topic, partitions=partitions)
        self._give_up(partitions)

    def _give_up(self, partitions: list[int]) -> None:
        self._assignment.given_up(partitions)
        if self._assembler.has_work:
            # What is still open mixes partitions; the ones we keep are read again from where the ledger stands.
            self._assembler.drop()
            self._assignment.reset()
        for partition in partitions:
            self._state.positions.pop(partition, None)


def _note_problems(state: ConsumerState, problems: dict[str, str]) -> None:
    """Keeps what is wrong for the API, and logs what has come or gone."""
    for where in problems.keys() - state.problems.keys():
        log.warning("problem", where=where, reason=problems[where])
    for where in state.problems.keys() - problems.keys():
        log.info("problem_over", where=where)
    state.problems = problems


def _raise_failure(failure: BaseException | None) -> None:
    if failure is not None:
        raise failure
