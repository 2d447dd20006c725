"""Ends a process with a thread that hangs, so that its supervisor starts it again.

Each thread that must not hang has a `Beat`. A thread of ours looks at the beats every second. While all are fine, it
feeds a small guard process (`watchdog_guard`). The guard needs nothing from our interpreter. If the food stops, the
guard makes the process write all its stacks (SIGABRT, which faulthandler answers without the interpreter) and end.

Time is counted in ticks of the thread that looks. A process that a signal has stopped does not tick, so it does not
count as hung when it continues. The guard does not count while its parent is stopped.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtp_workers import logs

TICK_S = 1.0
HUNG_AFTER_S = 30.0
GUARD = Path(__file__).with_name("watchdog_guard.py")
log = logs.get(__name__)


class Beat:
    """One thread's sign of life. Waiting for a server, a lock or work counts as turning."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.turns = 0
        self.waits = 0
        self.over = False

    def turn(self) -> None:
        """Says that the thread has completed another turn."""
        self.turns += 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Says that the thread waits for somebody else while the block runs, however long that takes."""
        self.waits += 1
        try:
            yield
        finally:
            self.waits -= 1
            self.turns += 1

    def end(self) -> None:
        """Says that the thread ends normally."""
        self.over = True


class Watchdog:
    """Watches the beats of one process. It does nothing until `start`."""

    def __init__(self, hung_after_s: float = HUNG_AFTER_S) -> None:
        self._hung_after_s = hung_after_s
        self._beats: list[Beat] = []
        self._still_s: dict[str, float] = {}
        self._turns: dict[str, int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._guard: subprocess.Popen[bytes] | None = None
        self.hung: list[str] = []

    def beat(self, name: str) -> Beat:
        """Returns the beat of a thread, which is watched from now on. A thread that replaces another takes its beat."""
        beat = next((known for known in self._beats if known.name == name), None)
        if beat is None:
            beat = Beat(name)
            self._beats = [*self._beats, beat]
        beat.over = False
        beat.turn()
        return beat

    def start(self) -> None:
        """Starts watching, and starts the guard."""
        faulthandler.enable(file=sys.__stderr__ or sys.stderr, all_threads=True)
        self._start_guard()
        self._thread.start()

    def stop(self) -> None:
        """Ends the guard: the process is about to end by itself."""
        self._stopping.set()
        self._end_guard()

    @property
    def alive(self) -> bool:
        """Whether it watches; True before `start`, when nobody has asked it to."""
        return self._thread.is_alive() or not self._thread.ident or self._stopping.is_set()

    def look(self, tick_s: float = TICK_S) -> list[str]:
        """Counts one tick; returns the names of the threads that have not turned for too long."""
        for beat in self._beats:
            moved = beat.turns != self._turns.get(beat.name) or beat.waits > 0 or beat.over
            self._turns[beat.name] = beat.turns
            self._still_s[beat.name] = 0.0 if moved else self._still_s.get(beat.name, 0.0) + tick_s
        hung = [beat.name for beat in self._beats if self._still_s[beat.name] >= self._hung_after_s]
        for name in set(hung) - set(self.hung):
            log.error("thread_hung", thread=name, reason=f"it has not turned for {self._hung_after_s:g} s")
        self.hung = hung
        return hung

    def _run(self) -> None:
        while not self._stopping.wait(TICK_S):
            if not self.look():
                self._feed()

    def _feed(self) -> None:
        guard = self._guard
        if guard is None or guard.stdin is None:
            return
        try:
            os.write(guard.stdin.fileno(), b".")
        except BlockingIOError:
            pass  # the guard is stopped, and has enough food
        except OSError as error:
            if not self._stopping.is_set():
                log.warning("watchdog_restarted", reason=f"its guard process has ended ({error})")
                self._end_guard()
                self._start_guard()

    def _start_guard(self) -> None:
        command = [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), f"{self._hung_after_s:g}"]
        # A session of its own: Ctrl-C in a terminal is for us, and the guard ends when its pipe is closed.
        self._guard = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, close_fds=True
        )
        assert self._guard.stdin is not None
        os.set_blocking(self._guard.stdin.fileno(), False)

    def _end_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None and guard.stdin is not None:
            with contextlib.suppress(OSError):
                guard.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                guard.wait(2)


def hung_threads(names: list[str]) -> str:
    """Returns the sentence for threads that hang."""
    return (
        f"{', '.join(names)}: not turned for {HUNG_AFTER_S:g} s. The process writes its stacks to the log and ends "
        "within another minute, so that its supervisor starts it again"
    )


@contextmanager
def watched(watchdog: Watchdog) -> Iterator[None]:
    """Watches the process while the block runs."""
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()
