"""The consumers of a soak, and the supervisor that starts again whoever ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.programs import RunningProgram, start_program

GRACE_S = 60.0
MOST_RSS_BYTES = 300_000_000
TAIL = 1_000


@dataclass
class Slot:
    """One place for a consumer.

    Attributes:
        wanted: whoever ends here is followed by another.
        asked: the signals that we have sent it to end it.
        failpoint: what the next one to start here is armed with, then what the running one is.
        asleep_s: for how long it may be stopped (SIGSTOP) until it is continued.
        since: when it was stopped; None while it runs.
        deadline: when it has to be gone, once told to stop.
    """

    number: int
    wanted: bool = False
    program: RunningProgram | None = None
    asked: set[signal.Signals] = field(default_factory=set)
    failpoint: str = ""
    asleep_s: float = 0.0
    since: float | None = None
    deadline: float | None = None


class Consumers:
    """Starts consumers, breaks them as told, and starts again those that ended. Call `watch` often.

    Attributes:
        problems: what no consumer should have done.
        starts: how many were started.
        died_at_failpoints, sleeps: how often one died where its failpoint was, and was continued after a SIGSTOP.
        peak_rss_bytes: the most memory that one of them was seen to have.
    """

    def __init__(self, env: Mapping[str, str], logs: Path) -> None:
        self.problems: list[str] = []
        self.starts = self.died_at_failpoints = self.sleeps = 0
        self.peak_rss_bytes = 0
        self._env = env
        self._logs = logs
        self._slots: dict[int, Slot] = {}

    def come(self, number: int, failpoint: str = "", asleep_s: float = 0.0) -> None:
        """Wants a consumer in this slot from now on."""
        slot = self._slot(number)
        slot.wanted = True
        if slot.program is None:
            slot.failpoint, slot.asleep_s = failpoint, asleep_s
        self._watch(slot)

    def go(self, number: int, by: signal.Signals) -> None:
        """Wants none any more, and ends the one that is there."""
        self._slot(number).wanted = False
        self.end(number, by)

    def end(self, number: int, by: signal.Signals, next_failpoint: str = "", asleep_s: float = 0.0) -> None:
        """Ends the one in this slot; its successor is armed with the failpoint."""
        slot = self._slot(number)
        if slot.program is not None:
            slot.asked.add(by)
            slot.deadline = slot.deadline or time.monotonic() + GRACE_S
            slot.program.signal(by)
            if by is signal.SIGKILL:
                slot.program.wait()
        self._watch(slot, restart=False)
        if slot.program is None:
            slot.failpoint, slot.asleep_s = next_failpoint, asleep_s

    def freeze(self, number: int, asleep_s: float) -> None:
        """Stops the one in this slot (SIGSTOP); `watch` continues it."""
        slot = self._slot(number)
        slot.asleep_s = asleep_s
        if slot.program is not None:
            slot.program.signal(signal.SIGSTOP)

    def watch(self) -> None:
        """Looks after every slot: continues sleepers, notes endings, starts successors."""
        for slot in self._slots.values():
            self._watch(slot)

    def wake(self) -> None:
        """Continues whoever is stopped, now and from now on."""
        for slot in self._slots.values():
            slot.asleep_s = 0.0
        self.watch()

    def stop(self) -> None:
        """Wants nobody any more and tells all to stop; `gone` says when they have."""
        for number in self._slots:
            self.go(number, signal.SIGTERM)

    def gone(self) -> bool:
        """Tells whether every consumer has ended."""
        return all(slot.program is None for slot in self._slots.values())

    def kill(self) -> None:
        """Leaves nothing behind."""
        for slot in self._slots.values():
            if slot.program is not None:
                slot.program.kill()

    def _slot(self, number: int) -> Slot:
        return self._slots.setdefault(number, Slot(number))

    def _watch(self, slot: Slot, *, restart: bool = True) -> None:
        if slot.program is not None and not slot.program.running():
            self._note_ending(slot, slot.program)
        if slot.program is not None:
            self._measure(slot.program)
            self._continue_after_sleep(slot, slot.program)
            self._hurry(slot, slot.program)
        elif slot.wanted and restart:
            self._start(slot)

    def _start(self, slot: Slot) -> None:
        self.starts += 1
        log = self._logs / f"{self.starts:04d}-consumer-{slot.number}.log"
        env = {**self._env, "RTP_FAILPOINT": slot.failpoint} if slot.failpoint else self._env
        slot.program = start_program("consume", "--no-api", env=env, log=log)

    def _note_ending(self, slot: Slot, program: RunningProgram) -> None:
        code, output = program.process.returncode, program.output()
        expected = {-signal.SIGKILL} if signal.SIGKILL in slot.asked or slot.failpoint.endswith("kill") else set()
        if signal.SIGTERM in slot.asked:
            # Before its first word it has no handler for the signal yet.
            expected |= {0} if output else {0, -signal.SIGTERM}
        if code not in expected:
            self.problems.append(f"{program.log.name} ended with exit code {code}, unasked:\n{output[-TAIL:]}")
        self.died_at_failpoints += code == -signal.SIGKILL and signal.SIGKILL not in slot.asked
        slot.program, slot.failpoint, slot.deadline, slot.since = None, "", None, None
        slot.asked.clear()

    def _measure(self, program: RunningProgram) -> None:
        try:
            rss_bytes = int(psutil.Process(program.pid).memory_info().rss)
        except psutil.NoSuchProcess:
            return
        if rss_bytes > MOST_RSS_BYTES >= self.peak_rss_bytes:
            self.problems.append(f"{program.log.name} had more than {MOST_RSS_BYTES:,} bytes of memory")
        self.peak_rss_bytes = max(self.peak_rss_bytes, rss_bytes)

    def _continue_after_sleep(self, slot: Slot, program: RunningProgram) -> None:
        if not program.stopped():
            slot.since = None
            return
        now = time.monotonic()
        slot.since = slot.since or now
        if now - slot.since >= slot.asleep_s:
            program.signal(signal.SIGCONT)
            self.sleeps += 1
            if slot.deadline is not None:
                slot.deadline = now + GRACE_S

    def _hurry(self, slot: Slot, program: RunningProgram) -> None:
        if slot.deadline is None or time.monotonic() < slot.deadline or program.stopped():
            return
        self.problems.append(f"{program.log.name} was still there {GRACE_S:g} s after SIGTERM")
        slot.asked.add(signal.SIGKILL)
        program.kill()
