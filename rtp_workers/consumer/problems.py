"""Collects what keeps records from flowing, and why, for the API."""

from __future__ import annotations

from collections.abc import Set

from rtp_workers.consumer.client_errors import ClientErrors
from rtp_workers.consumer.control import ControlThread
from rtp_workers.consumer.standing import Progress, StuckPartitions, TurnClock, stands
from rtp_workers.consumer.state import ConsumerState
from rtp_workers.consumer.writer_watch import WriterWatch

# A partition that has not moved for this long is looked into; after the second it is a problem.
ASK_AFTER_S = 3.0
PROBLEM_AFTER_S = 30.0
# Each of these stops every partition, so a partition needs no cause of its own meanwhile.
STOPS_EVERYTHING = frozenset({"kafka", "postgres", "topic"})


class ProblemFinder:
    """Finds the problems of one session. Belongs to the session's thread.

    Attributes:
        clock: counts the time of the loop's turns; the session advances it.
        stuck: partitions with an offset that cannot be read.
        client_errors: what Kafka's client has reported.
    """

    def __init__(self, topic: str, state: ConsumerState, control: ControlThread, watch: WriterWatch) -> None:
        self.clock = TurnClock()
        self.stuck = StuckPartitions(topic)
        self.client_errors = ClientErrors(topic)
        self._state, self._control, self._watch = state, control, watch
        self._progress = Progress()

    def look(self, owned: Set[int]) -> dict[str, str]:
        """Returns one sentence for each problem, by place. Puts into the state which partitions wait.

        Args:
            owned: the partitions that are ours.
        """
        view, others = self._control.view, self._control.diagnosis.others
        problems = {**self.client_errors.problems(self.clock.seconds), **view.problems, **self._watch.problems()}
        group = others.ledgers or others.strangers
        if group is not None:
            problems["group"] = group
        problems |= self.stuck.problems()
        self._state.waiting = self._look_at_progress(owned, problems)
        return problems

    def _look_at_progress(self, owned: Set[int], problems: dict[str, str]) -> dict[str, str]:
        """Adds partitions that are stuck for too long to `problems`. Returns those that may still move again."""
        state, diagnosis = self._state, self._control.diagnosis
        ends = {number: end for number, (_, end) in state.log.items()}
        positions = {number: state.positions.get(number) for number in owned}
        diagnosis.shared = len(owned) < len(ends)
        stopped = state.paused or not STOPS_EVERYTHING.isdisjoint(problems)
        standing = self._progress.standing_s({} if stopped else positions, ends, self.clock.seconds)
        diagnosis.standing = {n: positions[n] or 0 for n, since_s in standing.items() if since_s > ASK_AFTER_S}
        waiting: dict[str, str] = {}
        for number, since_s in standing.items():
            where = f"partition {number}"
            if where in problems or f"hole:{number}" in problems or since_s <= ASK_AFTER_S:
                continue
            said = waiting if since_s < PROBLEM_AFTER_S else problems
            said[where] = diagnosis.causes.get(number) or stands(positions[number], ends[number], since_s)
        return waiting
