"""Named places where a test stops a process for good or for a while; they do nothing unless RTP_FAILPOINT names one.

``RTP_FAILPOINT=after_copy`` kills the process (SIGKILL) the first time it gets there, ``after_copy:3`` the third
time, and ``after_copy@2`` the first time that the consumer's second connection gets there. ``after_copy=stop`` stops it
with SIGSTOP until somebody continues it. ``turn=hang`` makes the thread hang forever, and ``turn=hold`` does so while
it holds the interpreter, so that no other thread runs. ``add:3=memory`` makes the first three attempts run out of
memory.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import time
from dataclasses import dataclass

from rtp_workers.errors import ConfigError

_FORM = re.compile(r"(\w+)(?:@(\d+))?(?::(\d+))?(?:=(kill|stop|hang|hold|memory))?")
# The kernel stops the other threads a moment after kill() has returned in this one.
SETTLE_S = 0.2
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
_HANG_S = 100_000


@dataclass(slots=True)
class Failpoint:
    """One armed failpoint, or none. ``reach`` is called at every named place."""

    name: str | None = None
    countdown: int = 1
    does: str = "kill"
    connection: int | None = None

    @classmethod
    def parse(cls, text: str | None) -> Failpoint:
        """Reads ``name[@connection][:times][=kill|stop|hang|hold|memory]``; None arms nothing.

        Raises:
            ConfigError: the text has another form.
        """
        if not text:
            return cls()
        match = _FORM.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"RTP_FAILPOINT={text!r} is not of the form name[@connection][:times][=kill|stop|hang|hold|memory]"
            )
        return cls(match[1], int(match[3] or 1), match[4] or "kill", int(match[2]) if match[2] else None)

    def at(self, connection: int) -> Failpoint:
        """Returns what is armed for a connection: this failpoint, unless it is for another one."""
        return self if self.connection in (None, connection) else Failpoint()

    def reach(self, name: str) -> None:
        """Does what is asked for if `name` is the armed place and has been reached often enough."""
        if name != self.name:
            return
        self.countdown -= 1
        if self.does == "memory" and self.countdown >= 0:
            raise MemoryError
        if self.countdown != 0:
            return
        if self.does == "hang":
            time.sleep(_HANG_S)
        elif self.does == "hold":
            ctypes.PyDLL(None).sleep(_HANG_S)  # unlike CDLL it keeps the interpreter
        else:
            os.kill(os.getpid(), _SIGNALS[self.does])
            time.sleep(SETTLE_S)
