"""The guard process of `watchdog`: ``python -I -S watchdog_guard.py <pid> <seconds>``, fed through its stdin.

It imports almost nothing, so it costs little. It ends when the pipe is closed. The kernel closes the pipe when the
watched process ends in any way.
"""

import contextlib
import os
import select
import signal
import sys
import time

TICK_S = 1.0
STACKS_S = 5.0


def is_stopped(pid: int) -> bool:
    """Return whether a signal or a debugger has stopped the process (Linux; elsewhere False)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except OSError:
        return False


def end(pid: int, hungry_s: float) -> None:
    """Make the process write all stacks and end."""
    sys.stderr.write(f"watchdog: process {pid} has not turned for {hungry_s:g} s; its stacks follow, and it is ended\n")
    sys.stderr.flush()
    os.kill(pid, signal.SIGABRT)
    time.sleep(STACKS_S)
    if os.getppid() == pid:  # otherwise it has ended, and its number may be another process's by now
        os.kill(pid, signal.SIGKILL)


def watch(pid: int, longest_s: float) -> None:
    """Count the ticks without food. Return when the pipe is closed."""
    hungry_s = 0.0
    while hungry_s < longest_s:
        readable, _, _ = select.select([0], [], [], TICK_S)
        if readable:
            if not os.read(0, 4096):
                return
            hungry_s = 0.0
        else:
            hungry_s = 0.0 if is_stopped(pid) else hungry_s + TICK_S
    if os.getppid() == pid:
        end(pid, hungry_s)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
        watch(int(sys.argv[1]), float(sys.argv[2]))
