"""The consumer: Kafka -> PostgreSQL, exactly once.

    main thread      poll -> decode -> batch           (`session`, `assembly`)
    writing thread   COPY -> ledger -> COMMIT          (`writing`, `postgres.batch_writer`)
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
from rtp_workers.consumer.session import IDLE_POLL_S, STOP_S, Session, SessionOverError
from rtp_workers.consumer.state import ConsumerState
from rtp_workers.endpoints import Endpoints
from rtp_workers.failpoints import Failpoint
from rtp_workers.postgres.batch_writer import BatchWriter
from rtp_workers.settings import ConsumerSettings

# The writing thread wants the interpreter some twenty times a batch; Python's 5 ms until it gets it would add up.
SWITCH_INTERVAL_S = 0.0005
log = logs.get(__name__)


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
        self._failpoint = Failpoint.parse(settings.failpoint)

    def stop(self) -> None:
        """Asks the loop to end; safe in a signal handler."""
        self._stop = True

    def run(self, until: Callable[[ConsumerState], bool] = lambda _: False) -> None:
        """Consumes until stopped, or until `until` says so; what is not written by then is still in Kafka.

        Raises:
            ConfigError: the ledger belongs to another group, or settings are wrong.
        """
        dsn = self._endpoints.need("postgres_ingest_dsn")
        self._garbage.take_over()
        switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        beat = self._state.watchdog.beat("loop")
        control = ControlThread(self._endpoints, self._settings.topic, self._settings.group_id, dsn)
        try:
            while not self._ends_now(until):
                topic_id = self._await_topic(control)
                if topic_id is not None:
                    self._run_session(control, topic_id, lambda: self._ends_now(until))
        finally:
            control.stop(STOP_S)
            beat.end()
            self._garbage.hand_back()
            sys.setswitchinterval(switch_interval_s)

    def _ends_now(self, until: Callable[[ConsumerState], bool]) -> bool:
        """Asked at every turn of every loop on this thread."""
        self._failpoint.reach("turn")
        self._state.watchdog.beat("loop")
        self._garbage.collect_when_due()
        return self._stop or until(self._state)

    def _await_topic(self, control: ControlThread) -> str | None:
        """Returns the topic's id, or None after a short wait while it is not known."""
        control.raise_failure()
        control.give_up_silent_session()
        view = control.view
        self._state.note_problems(view.problems if view.seen else {"kafka": "not reached yet", **view.problems})
        if view.topic is None or "kafka" in view.problems:
            time.sleep(IDLE_POLL_S)
            return None
        return view.topic.topic_id

    def _run_session(self, control: ControlThread, topic_id: str, finished: Callable[[], bool]) -> None:
        settings, endpoints = self._settings, self._endpoints
        writer = BatchWriter(endpoints.need("postgres_ingest_dsn"), self._failpoint)
        session = Session(settings, endpoints, self._state, control, writer, topic_id)
        try:
            session.run(finished)
        except SessionOverError as end:
            log.warning("session_over", topic=settings.topic, cause=end.cause, reason=str(end))
        finally:
            session.close()
