"""The consumer: Kafka -> PostgreSQL, exactly once.

    main thread      poll -> decode -> batch           (`session`, `assembly`)
    writing threads  COPY -> ledger -> COMMIT          (`writing`, `postgres.batch_writer`)
    control thread   topic, pause, ledger offsets      (`control`)

The loop waits for the topic, runs a session on it, and starts another session when that one ends for a reason that a
new one can deal with.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rtp_workers import logs
from rtp_workers.consumer.control import ControlThread
from rtp_workers.consumer.garbage import Garbage
from rtp_workers.consumer.mapped_assembly import TopicMapping
from rtp_workers.consumer.mapped_topics import MappedTopics
from rtp_workers.consumer.session import IDLE_POLL_S, STOP_S, Session, SessionOverError
from rtp_workers.consumer.state import ConsumerState
from rtp_workers.consumer.writing import LANES
from rtp_workers.endpoints import Endpoints
from rtp_workers.failpoints import Failpoint
from rtp_workers.kafka.schema_registry import registry_of
from rtp_workers.kafka.topic_names import TopicNames
from rtp_workers.postgres.batch_writer import BatchWriter
from rtp_workers.postgres.recent_batches import RecentBatches
from rtp_workers.settings import ConsumerSettings

# A writing thread needs the interpreter about twenty times per batch. Python's default wait of 5 ms would add up.
SWITCH_INTERVAL_S = 0.0005
# Kafka's first answer usually takes less than a second.
STARTING_S = 5.0
NOT_REACHED = "Kafka at {bootstrap} has not answered yet; check that it runs. The consumer keeps asking"
OUT_OF_MEMORY = "this process has no memory left; a new session begins with smaller batches"
log = logs.get(__name__)


class ConsumerLoop:
    """The work of one consumer process, from start to stop.

    Args:
        settings: limits, topic and group.
        endpoints: where Kafka and PostgreSQL are.
        state: written here, read by the API.
        mapping: the mapping of a topic that is not our own; None for our own topic.
    """

    def __init__(
        self,
        settings: ConsumerSettings,
        endpoints: Endpoints,
        state: ConsumerState,
        mapping: TopicMapping | None = None,
    ) -> None:
        self._settings = settings
        self._mapping = mapping
        self._endpoints = endpoints
        self._state = state
        self._stop = False
        self._started_at = time.monotonic()
        self._garbage = Garbage()
        self._failpoint = Failpoint.parse(settings.failpoint)

    def stop(self) -> None:
        """Asks the loop to end. Safe in a signal handler."""
        self._stop = True

    def run(self, until: Callable[[ConsumerState], bool] = lambda _: False) -> None:
        """Consumes until stopped, or until `until` returns True. Records that are not written then are still in Kafka.

        It owns the process: it changes Python's garbage collector and switch interval.

        Raises:
            ConfigError: the ledger belongs to another group, or a setting is wrong.
        """
        self._garbage.take_over()
        switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        beat = self._state.watchdog.beat("loop")
        mapped = self._mapped_topics()
        try:
            if mapped is not None:
                mapped.start()
            self.consume(lambda: self._ends_now(until, mapped))
        finally:
            if mapped is not None:
                mapped.stop()
            beat.end()
            self._garbage.hand_back()
            sys.setswitchinterval(switch_interval_s)

    def consume(self, finished: Callable[[], bool]) -> None:
        """Consumes until `finished`, which is asked at every turn of every loop on this thread."""
        dsn = self._endpoints.need("postgres_ingest_dsn")
        given = self._settings
        control = ControlThread(
            self._endpoints,
            given.topic,
            given.group_id,
            dsn,
            allow_compacted=given.consumer_allow_compacted,
            home=given.home,
        )
        try:
            while not finished():
                topic_id = self._await_topic(control)
                if topic_id is not None:
                    self._run_session(control, topic_id, finished)
        finally:
            control.stop(STOP_S)

    def _mapped_topics(self) -> MappedTopics | None:
        """Returns the consumer of topics that are not our own; None if none are wanted."""
        settings, endpoints = self._settings, self._endpoints
        if not settings.foreign_topics:
            return None
        registry = registry_of(settings)

        def consume(mapping: TopicMapping, state: ConsumerState, finished: Callable[[], bool]) -> None:
            of_topic = settings.model_copy(update={"topic": mapping.plan.topic})
            ConsumerLoop(of_topic, endpoints, state, mapping).consume(finished)

        names = TopicNames(endpoints, settings.foreign_topics, settings.topic)
        sources_file = settings.sources_path
        return MappedTopics(names, sources_file, self._state, lambda plan: TopicMapping(plan, registry), consume)

    def _ends_now(self, until: Callable[[ConsumerState], bool], mapped: MappedTopics | None) -> bool:
        self._failpoint.reach("turn")
        self._state.watchdog.beat("loop")
        self._garbage.collect_when_due()
        if mapped is not None:
            mapped.raise_failure()
        ends = self._stop or until(self._state)
        if ends and mapped is not None:
            mapped.ask_to_stop()
        return ends

    def _await_topic(self, control: ControlThread) -> str | None:
        """Returns the topic's id, or None after a short wait while it is not known."""
        control.raise_failure()
        control.give_up_silent_session()
        view = control.view
        problems = view.problems
        if not view.seen:
            not_reached = NOT_REACHED.format(bootstrap=self._endpoints.need("kafka_bootstrap"))
            problems = {"kafka": not_reached, **problems}
        starting = not view.seen and not view.problems and time.monotonic() < self._started_at + STARTING_S
        self._state.note_problems(problems, unlogged=problems.keys() if starting else frozenset())
        if view.topic is None or "kafka" in view.problems:
            time.sleep(IDLE_POLL_S)
            return None
        return view.topic.topic_id

    def _run_session(self, control: ControlThread, topic_id: str, finished: Callable[[], bool]) -> None:
        settings, endpoints = self._settings, self._endpoints
        dsn, recent = endpoints.need("postgres_ingest_dsn"), RecentBatches()
        writers = [BatchWriter(dsn, self._failpoint.at(number + 1), recent) for number in range(LANES)]
        session = Session(settings, endpoints, self._state, control, writers, topic_id, self._mapping)
        try:
            session.run(finished)
        except SessionOverError as end:
            log.warning("session_over", topic=settings.topic, cause=end.cause, reason=str(end))
        except MemoryError:
            # Closing the session frees all its memory. The next one reads again from the ledger's position.
            if self._state.batch_room is not None:
                self._state.batch_room.shrink()
            log.warning("session_over", topic=settings.topic, cause="memory_short", reason=OUT_OF_MEMORY)
        finally:
            session.close()
