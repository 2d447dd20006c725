"""Child processes: they die with us, stop within a deadline, and are found again after we were killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from rtp_workers import logs
from rtp_workers.errors import FatalError, TransientError
from rtp_workers.local import launch
from rtp_workers.local.unprivileged import Account

POLL_S = 0.02
TAIL_BYTES = 4_000
LOG_KEPT_BYTES = 20_000_000

log = logs.get("rtp.children")


@dataclass(frozen=True)
class Program:
    """What to run, and how it wants to be stopped.

    Attributes:
        name: names its pid file, e.g. ``kafka``.
        argv: absolute program and its arguments.
        log: file that stdout and stderr are appended to.
        home: RTP_HOME; the pid file is in ``<home>/run``.
        stop_signal: asks for a clean stop; also sent by the kernel when the parent dies (Linux).
        account: the user to run as; None: ours.
        env: the whole environment; None: ours.
        cwd: where it runs.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    home: Path
    stop_signal: signal.Signals = signal.SIGTERM
    account: Account | None = None
    env: Mapping[str, str] | None = None
    cwd: Path = Path("/")

    @property
    def pid_file(self) -> Path:
        """The file with the pid and the start time of the running process."""
        return self.home / "run" / f"{self.name}.pid"


class Child:
    """A running program. Not thread-safe.

    Start it from a thread that lives as long as the child should, because the kernel sends its parent-death signal when
    that thread ends.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        rotate(program.log)
        who = ("-", "-") if program.account is None else (str(program.account.uid), str(program.account.gid))
        command = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), str(int(program.stop_signal)), *who]
        with program.log.open("ab") as output:
            self.log_start = output.tell()
            self.process = subprocess.Popen(
                [*command, *program.argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=program.cwd,
                env=None if program.env is None else dict(program.env),
                start_new_session=True,
            )
        try:
            remember(program.pid_file, self.process.pid)
        except OSError as error:  # the program runs; only its end after a kill of ours is less certain
            log.warning("pid_not_noted", part=program.name, reason=str(error))

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def running(self) -> bool:
        """Returns whether the process is still there."""
        return self.process.poll() is None

    def new_log(self) -> bytes:
        """Returns what this run has written to its log so far."""
        with self.program.log.open("rb") as log:
            log.seek(self.log_start)
            return log.read()

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Waits until `ready` says so.

        Raises:
            FatalError: the process ended first; the message has the end of its log.
            TransientError: it is not ready within `timeout_s`; it still runs, and the caller stops it.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.running():
                raise FatalError(
                    f"{self.program.name} ended with code {self.process.returncode} while starting; "
                    f"the end of {self.program.log}:\n{self._tail()}"
                )
            if time.monotonic() > deadline:
                raise TransientError(
                    f"{self.program.name} was not ready within {timeout_s:.0f} s; "
                    f"the end of {self.program.log}:\n{self._tail()}"
                )
            time.sleep(POLL_S)

    def stop(self, grace_s: float) -> int:
        """Stops the process: its stop signal, then SIGKILL to its whole group. Returns its exit code."""
        if not self.signal_and_wait(self.program.stop_signal, grace_s):
            self.kill()
        self.forget()
        return self.process.wait()

    def signal_and_wait(self, number: signal.Signals, grace_s: float) -> bool:
        """Sends a signal and returns whether the process was gone within `grace_s`."""
        if self.running():
            self.process.send_signal(number)
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def forget(self) -> None:
        """Removes the pid file: the process has ended, so the next start need not end it."""
        self.program.pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """Kills the process and everything in its group at once. If it has died already, it only notes that."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _tail(self) -> str:
        return self.new_log()[-TAIL_BYTES:].decode(errors="replace").strip() or "(empty)"


def rotate(log: Path) -> None:
    """Creates the log's folder. A long log is moved aside; one old log is kept."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".log.1"))


def remember(pid_file: Path, pid: int) -> None:
    """Records which process this is: pid and start time, since another process may get the same pid later."""
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(psutil.NoSuchProcess):
        pid_file.write_text(f"{pid} {psutil.Process(pid).create_time()!r}\n")


def noted_pid(pid_file: Path) -> int | None:
    """Returns the process id that was recorded."""
    try:
        return int(pid_file.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None


def remembered(pid_file: Path) -> psutil.Process | None:
    """Returns the recorded process, if that very process is still running."""
    try:
        pid, created = pid_file.read_text().split()
        process = psutil.Process(int(pid))
        same = abs(process.create_time() - float(created)) < 0.05 and process.status() != psutil.STATUS_ZOMBIE
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None
    return process if same else None


def left_in_group(leader: int, home: Path) -> list[psutil.Process]:
    """Returns the processes in a program's group, without others that may have got that number since."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            if os.getpgid(process.pid) == leader and process.environ().get("RTP_HOME") == str(home):
                found.append(process)
    return found


def end_orphan(program: Program, grace_s: float) -> bool:
    """Ends what an earlier, killed platform of this home left running. Call it while you hold the home's lock.

    Processes that the program had started end with it, such as the runs of Dagster's code server.

    Returns whether the last run ended without its own clean-up, so that its sockets may linger for a moment.
    """
    unclean = program.pid_file.exists()
    leader = noted_pid(program.pid_file)
    orphan = remembered(program.pid_file)
    if orphan is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            orphan.send_signal(program.stop_signal)
            _, alive = psutil.wait_procs([orphan], timeout=grace_s)
            for process in alive:
                process.kill()
            psutil.wait_procs(alive, timeout=grace_s)
    for process in left_in_group(leader, program.home) if leader is not None else ():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    program.pid_file.unlink(missing_ok=True)
    return unclean
