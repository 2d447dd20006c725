"""A session: one topic, known by its id, consumed as one member of the group.

A batch is closed when the writer is free. So batches are small while few records come (low latency), and large while
many come (high throughput). While the writer is busy, the open batch grows to its limits; then delivery is paused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal

from rtp_workers import logs
from rtp_workers.consumer.assembly import Assembler
from rtp_workers.consumer.assignment import Assignment
from rtp_workers.consumer.batch_room import BatchRoom
from rtp_workers.consumer.control import ControlThread
from rtp_workers.consumer.decoding_wait import DecodingWait
from rtp_workers.consumer.mapped_assembly import MappedAssembler, TopicMapping
from rtp_workers.consumer.problems import ProblemFinder
from rtp_workers.consumer.rejoining import Rejoining
from rtp_workers.consumer.shown_offsets import ShownOffsets
from rtp_workers.consumer.state import ConsumerState, Written
from rtp_workers.consumer.writer_watch import WriterWatch
from rtp_workers.consumer.writing import LANES, TooLarge, Writing
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import AttentionError, RtpError, TransientError
from rtp_workers.kafka.record_consumer import ConsumerLimits, Polled, Rebalances, RecordConsumer
from rtp_workers.postgres.batch import KafkaRecord
from rtp_workers.postgres.batch_writer import BatchWriter
from rtp_workers.postgres.ledger import Place
from rtp_workers.settings import ConsumerSettings

POLL_RECORDS = 5_000
# A batch with at least this part of its rows is written while the one before it is still on its way.
FULL_ENOUGH = 4
IDLE_POLL_S = 0.05
HELD_AFTER_S = 1.0
SESSIONS_TO_REJOIN = 3  # session time-outs, until a client that does not come back into the group is replaced
REVOKE_FLUSH_S = 10.0
# At most 12 s together, which is what `rtp up` allows: last batch, writer (twice), group, control thread.
LAST_WRITE_S = 4.0
STOP_S = 1.5
LEAVE_S = 3.5
NO_MEMORY = "this process has no memory left for what is stored there"
log = logs.get(__name__)

Cause = Literal["topic_replaced", "client_broken", "database_replaced"]


class SessionOverError(RtpError):
    """This session cannot continue; a new one can.

    Attributes:
        cause: ``topic_replaced`` (it was re-created, so it has another id), ``client_broken`` (the Kafka client
            reported an error from which it cannot recover, or does not come back into the group) or
            ``database_replaced`` (the DSN now leads to another database).
    """

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Session:
    """Moves records from Kafka's client into batches, and hands these to the writing threads.

    Args:
        mapping: the mapping of a topic that is not our own; None for our own topic.
    """

    def __init__(
        self,
        settings: ConsumerSettings,
        endpoints: Endpoints,
        state: ConsumerState,
        control: ControlThread,
        writers: Sequence[BatchWriter],
        topic_id: str,
        mapping: TopicMapping | None = None,
    ) -> None:
        self._settings, self._state, self._control, self._topic_id = settings, state, control, topic_id
        self._room = state.batch_room = state.batch_room or BatchRoom.of(settings)
        self._assignment = Assignment()
        beats = [state.watchdog.beat(f"writer {number + 1}") for number in range(LANES)]
        self._writing = Writing(writers, self._assignment, beats, settings.consumer_batch_rows // FULL_ENOUGH)
        self._watch = WriterWatch(self._writing, control)
        self._assembler = (
            Assembler(settings.topic, topic_id, self._assignment)
            if mapping is None
            else MappedAssembler(topic_id, self._assignment, mapping)
        )
        self._decoding = DecodingWait()
        self._failpoint = writers[0].failpoint
        self._shown = ShownOffsets()
        self._problems = ProblemFinder(settings.topic, state, control, self._watch)
        self._clock, self._stuck = self._problems.clock, self._problems.stuck
        self._rejoining = Rejoining(SESSIONS_TO_REJOIN * settings.consumer_session_timeout_s)
        self._held = False
        self._closing = False
        self._ledger_id = control.view.ledger_id
        control.diagnosis.ledger_id = self._ledger_id or ""
        state.start_session(topic_id)
        limits = ConsumerLimits(
            settings.consumer_queue_bytes,
            settings.consumer_session_timeout_s,
            settings.consumer_max_poll_interval_s,
            settings.consumer_group_protocol,
            settings.kafka_rack,
        )
        self._consumer = RecordConsumer(
            endpoints,
            settings.topic,
            settings.group_id,
            limits,
            Rebalances(self._on_assigned, self._on_revoked, self._on_lost),
            self._ledger_id or "",
        )
        log.info("consumer_started", topic=settings.topic, topic_id=topic_id, group_id=settings.group_id)

    def run(self, finished: Callable[[], bool]) -> None:
        """Consumes until `finished`, which is asked at every turn.

        Raises:
            SessionOverError: a new session is needed. Its cause says why.
        """
        while not finished():
            self._serve()
            if self._must_hold():
                self._wait(finished)
                continue
            self._take(self._consumer.poll(self._fitting(), self._poll_s()))
            self._submit()

    def close(self) -> None:
        """Writes what was submitted, drops the rest, and leaves the group. Takes a few seconds at most."""
        self._closing = True
        self._writing.wait_idle(LAST_WRITE_S if self._writing.problem is None else 0.0)
        self._take_outcomes()
        self._writing.stop(STOP_S)
        self._assignment.given_up(self._assignment.owned)
        # If Kafka does not answer, the client would wait for a minute. We do not wait: our membership times out.
        leaving = threading.Thread(target=self._leave, name="leaving", daemon=True)
        leaving.start()
        leaving.join(LEAVE_S)
        if leaving.is_alive():
            log.warning("group_not_left", topic=self._settings.topic, reason=f"no answer from Kafka in {LEAVE_S:g} s")
        log.info("consumer_stopped", topic=self._settings.topic, inserted=self._state.totals.inserted)

    def _leave(self) -> None:
        self._shown.commit_last(self._consumer)
        self._consumer.close()

    # What happens between two polls

    def _serve(self) -> None:
        self._failpoint.reach("serve")
        self._control.raise_failure()
        self._writing.raise_failure()
        self._clock.turn()
        self._take_outcomes()
        self._compare_with_ledger()
        self._retry_stuck()
        self._open_partitions()
        self._watch.look()
        self._shown.commit_when_due(self._consumer)
        self._control.give_up_silent_session()
        self._update_state()
        self._refuse_replaced()
        self._refuse_lost_client()

    def _refuse_lost_client(self) -> None:
        kafka_answers = "kafka" not in self._control.view.problems
        if self._rejoining.is_overdue(self._clock.seconds, kafka_answers=kafka_answers):
            waited = f"for {self._rejoining.patience_s:g} s, although Kafka answers"
            raise SessionOverError("client_broken", f"the Kafka client is not back in the group {waited}")

    def _refuse_replaced(self) -> None:
        view = self._control.view
        if view.ledger_id != self._ledger_id:
            # The client id names the database that we store into, so we have to join the group again.
            message = f"the database's id was {self._ledger_id or 'not known'}, it is {view.ledger_id} now"
            raise SessionOverError("database_replaced", message)
        topic = view.topic
        if topic is not None and topic.topic_id != self._topic_id:
            message = f"the topic's id was {self._topic_id}, it is {topic.topic_id} now"
            raise SessionOverError("topic_replaced", message)

    def _take_outcomes(self) -> None:
        while self._writing.outcomes:
            outcome = self._writing.outcomes.popleft()
            if isinstance(outcome, Written):
                self._watch.wrote()
                self._state.wrote(outcome)
                self._shown.note(outcome.spans)
            elif isinstance(outcome, TooLarge):
                self._start_over()
                at = (outcome.kafka_partition, outcome.offset)
                self._stuck.note(*at, outcome.why, self._clock.seconds, is_record=True)
            else:
                log.warning("batch_dropped", topic=self._settings.topic, reason=outcome.why)
                self._start_over()

    def _compare_with_ledger(self) -> None:
        """Starts over if the control thread found that the ledger or Kafka's log is not at the expected position."""
        setback = self._control.take_setback()
        if setback is not None and self._assignment.positions:
            log.warning("wound_back", topic=self._settings.topic, reason=setback)
            self._start_over()
        generations, positions = self._assignment.generations, self._state.positions
        self._control.stand_at(
            {number: Place(positions[number], generations[number]) for number in self._assignment.positions}
        )

    def _start_over(self) -> None:
        """Drops everything that is not written. Each partition resumes at the ledger's position."""
        self._assembler.drop()
        self._consumer.stop(self._assignment.positions)
        self._assignment.reset()

    def _open_partitions(self) -> None:
        assignment = self._assignment
        if not assignment.pending:
            # Stop asking about partitions that are no longer ours, and reporting problems with them.
            self._control.want_offsets({})
            return
        found = self._control.take_offsets()
        places = {
            number: place
            for number, (epoch, place) in found.items()
            if number in assignment.pending and assignment.epochs[number] == epoch
        }
        if places:
            offsets = {number: place.offset for number, place in places.items()}
            self._consumer.start(offsets)
            assignment.opened(places)
            self._state.positions.update(offsets)
            self._shown.note_opened(offsets)
            log.info("partitions_opened", topic=self._settings.topic, offsets=offsets)
            if self._held or self._state.paused:
                self._consumer.pause()
        wanted = [number for number in assignment.pending if not self._stuck.waits(number, self._clock.seconds)]
        self._control.want_offsets({number: assignment.epochs[number] for number in wanted})

    def _retry_stuck(self) -> None:
        """Asks for the ledger's position of stuck partitions again: a person may have skipped the bad offset."""
        self._stuck.moved(self._state.positions)
        for number in self._stuck.due(self._clock.seconds, self._is_at_rest):
            self._assignment.assigned([number])

    def _is_at_rest(self, kafka_partition: int) -> bool:
        """Tells whether nothing of the partition is being written: a new epoch would drop it."""
        if kafka_partition not in self._assignment.positions:
            return False
        return not self._assembler.holds(kafka_partition) and not self._writing.holds(kafka_partition)

    def _update_state(self) -> None:
        view, state = self._control.view, self._state
        problems = self._problems.look(self._assignment.owned)
        if self._decoding.problem is not None:
            problems["schema_registry"] = self._decoding.problem
        state.note_problems(problems)
        short = self._room.warning()
        state.warnings = view.warnings | ({} if short is None else {"memory": short})
        state.retries = self._writing.retries
        state.unknown_fields, state.careful_records = self._assembler.unknown_fields, self._assembler.careful
        waiting = any(number not in self._stuck for number in self._assignment.pending)
        state.note_assignment(self._assignment.owned, waiting=waiting)
        if view.topic is not None:
            state.log = view.topic.log
        shared = self._control.diagnosis.others.ledgers
        state.note_pause(view.paused or shared is not None, shared or view.paused_reason)

    # Moving records

    def _fitting(self) -> int:
        """Returns how many more records the open batch may take, at least 1."""
        room, assembler = self._room, self._assembler
        room.grow_when_due()
        of_usual_size = max(0, room.bytes - assembler.bytes) // max(1, assembler.record_bytes)
        return max(1, min(POLL_RECORDS, room.rows - assembler.rows, of_usual_size))

    def _is_full(self) -> bool:
        room, assembler = self._room, self._assembler
        return (assembler.rows >= room.rows or assembler.bytes >= room.bytes) and not self._writing.free

    def _poll_s(self) -> float:
        recent = time.monotonic() - self._state.last_record_at < 1.0
        return self._settings.consumer_batch_age_ms / 1000 if recent or self._assembler.rows else IDLE_POLL_S

    def _take(self, polled: Polled) -> None:
        self._problems.client_errors.note(polled.errors, self._clock.seconds)
        if polled.connection == "held":
            self._assignment.connection_held()
        elif polled.connection == "lost" and self._assignment.positions:
            log.info("kafka_reconnected", topic=self._settings.topic, reason="the log is compared with the ledger")
            self._start_over()
        if polled.records or polled.ends:
            self._problems.client_errors.clear()
            self._add(polled)
        if polled.out_of_range:
            log.warning("offset_out_of_range", topic=self._settings.topic, partitions=polled.out_of_range)
            self._start_over()
        for number, reason in polled.unreadable.items():
            self._note_unreadable(number, reason)
        if polled.broken:
            reason = "; ".join(str(error) for error in polled.errors)
            raise SessionOverError("client_broken", f"the Kafka client cannot recover ({reason}); a new one is made")

    def _note_unreadable(self, number: int, reason: str) -> None:
        """Stops the delivery of a partition that cannot be read, until the next attempt is due."""
        position = self._assignment.positions.get(number)
        if position is not None:
            self._consumer.stop([number])
            self._stuck.note(number, position, f"Kafka's batch there cannot be read ({reason})", self._clock.seconds)

    def _add(self, polled: Polled) -> None:
        try:
            self._failpoint.reach("add")
            self._assembler.add(polled.records, polled.ends)
        except (TransientError, AttentionError) as error:
            self._decoding.begin(error)
            self._start_over()
            return
        except MemoryError:
            self._begin_smaller(polled.records)
            return
        if polled.records:
            self._decoding.end()
            self._state.last_record_at = time.monotonic()

    def _begin_smaller(self, records: Sequence[KafkaRecord]) -> None:
        """Drops these records, to read them again in smaller batches. A record that does not fit alone is stuck."""
        self._start_over()
        if self._room.shrink():
            log.warning("batches_shrunk", topic=self._settings.topic, rows=self._room.rows, reason=NO_MEMORY)
        elif len(records) == 1:
            (record,) = records
            why = f"{NO_MEMORY} ({len(record.value() or b''):,} bytes)"
            self._stuck.note(record.partition(), record.offset(), why, self._clock.seconds, is_record=True)

    def _submit(self) -> None:
        if self._writing.free and self._assembler.has_work:
            batch = self._assembler.take()
            batch.confirm = self._control.confirmation(self._topic_id)
            self._writing.submit(batch)

    def _wait(self, finished: Callable[[], bool]) -> None:
        """Holds delivery while the batch is full and the writer is busy, or while paused. Stays in the group."""
        if not self._state.paused and not self._decoding.holds and self._writing.wait_free(HELD_AFTER_S):
            self._submit()
            return
        self._held = True
        self._consumer.pause()
        while self._must_hold() and not finished():
            self._take(self._consumer.poll(POLL_RECORDS, 2 * IDLE_POLL_S))
            self._submit()
            self._serve()
        self._held = False
        self._consumer.resume()

    def _must_hold(self) -> bool:
        return self._state.paused or self._decoding.holds or self._is_full()

    # Rebalances, on the main thread, inside a poll

    def _on_assigned(self, partitions: list[int]) -> None:
        log.info("partitions_assigned", topic=self._settings.topic, partitions=partitions)
        self._state.rebalances += 1
        self._rejoining.assigned()
        self._assignment.assigned(partitions)

    def _on_revoked(self, partitions: list[int]) -> None:
        log.info("partitions_revoked", topic=self._settings.topic, partitions=partitions)
        with self._state.watchdog.beat("loop").waiting():
            if not self._closing and self._writing.problem is None and self._writing.wait_free(REVOKE_FLUSH_S):
                self._submit()
                self._writing.wait_idle(REVOKE_FLUSH_S)
        self._give_up(partitions)

    def _on_lost(self, partitions: list[int]) -> None:
        log.warning("partitions_lost", topic=self._settings.topic, partitions=partitions)
        self._rejoining.lost(self._clock.seconds)
        self._give_up(partitions)

    def _give_up(self, partitions: list[int]) -> None:
        self._assignment.given_up(partitions)
        self._stuck.given_up(partitions)
        if self._assembler.has_work:
            # The open batch mixes partitions, so it is dropped. Those that we keep are read again from the ledger.
            self._assembler.drop()
            self._assignment.reset()
        for partition in partitions:
            self._state.positions.pop(partition, None)
