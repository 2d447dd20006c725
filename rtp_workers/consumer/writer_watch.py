"""Watches the writer: finds out why a write takes very long, and in the end abandons it."""

from __future__ import annotations

from rtp_workers import logs
from rtp_workers.consumer.control import ControlThread
from rtp_workers.consumer.writing import Writing

# After this long the control thread looks for another ingest session that blocks the write.
STUCK_AFTER_S = 5.0
# A write without any answer for this long has lost its server without noticing, so its connection is dropped. The line
# may merely be slow, so each time that this happens, the next write gets twice as long.
ABANDON_AFTER_S = 60.0
ABANDON_AFTER_AT_MOST_S = 960.0
log = logs.get(__name__)


class WriterWatch:
    """Looks at how long the current write has taken. Call `look` often."""

    def __init__(self, writing: Writing, control: ControlThread) -> None:
        self._writing, self._control = writing, control
        self._abandon_after_s = ABANDON_AFTER_S

    def look(self) -> None:
        """Lets the sessions that block a stuck writer be ended, and abandons a write that has lost its server."""
        writing = self._writing
        is_stuck = writing.busy_s > STUCK_AFTER_S
        self._control.writer_is_stuck(writing.backend_pid if is_stuck else None, writing.backend_pids)
        if writing.abandon(self._abandon_after_s):
            log.warning("write_abandoned", seconds=round(self._abandon_after_s), reason="PostgreSQL has not answered")
            self._abandon_after_s = min(2 * self._abandon_after_s, ABANDON_AFTER_AT_MOST_S)

    def wrote(self) -> None:
        """Records that a batch was committed, so the server answers."""
        self._abandon_after_s = ABANDON_AFTER_S

    def problems(self) -> dict[str, str]:
        """Returns why nothing is being written, under the server whose problem it is; empty while writes succeed."""
        if self._writing.problem is not None:
            return {self._writing.problem_at: self._writing.problem}
        busy_s = self._writing.busy_s
        if busy_s <= STUCK_AFTER_S or "kafka" in self._control.view.problems:
            return {}  # while Kafka is away, the write waits for its answer that the topic is the same
        text = (
            f"a batch has been on its way into PostgreSQL for {busy_s:.0f} s: a lock, a full disk or a slow "
            "connection; pg_stat_activity shows what it waits for"
        )
        return {"postgres": text}
