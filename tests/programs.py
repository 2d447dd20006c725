"""Running the ``rtp`` command as a user does: as a process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.waiting import wait_until

RTP = (sys.executable, "-m", "rtp_workers.cli.main")


def clean_env(**settings: str) -> dict[str, str]:
    """Returns our environment without any ``RTP_*`` name of the developer's, and with `settings` added."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("RTP_")}, **settings}


def run_rtp(
    *arguments: str, env: Mapping[str, str], timeout_s: float = 120.0, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs ``rtp arguments`` to its end, in RTP_HOME, and returns it with its output as text."""
    return subprocess.run(
        [*RTP, *arguments],
        env=dict(env),
        cwd=env["RTP_HOME"],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def status_with(told: Callable[[dict[str, Any]], Any], env: Mapping[str, str]) -> dict[str, Any]:
    """Returns what ``rtp status --json`` says once `told` is true of it.

    It gives each part some seconds. On a crowded machine a part may need more: then it is away, and the exit code 1.
    """

    def report() -> dict[str, Any] | None:
        done = run_rtp("status", "--json", env=env)
        assert done.returncode in (0, 1), done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found if told(found) else None

    found = wait_until(report, 120, "a status with what the test looks for")
    assert found is not None
    return found


@dataclass
class RunningProgram:
    """A started ``rtp`` command; stdout and stderr go to `log`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def output(self) -> str:
        """Returns what it has written so far."""
        return self.log.read_text(errors="replace")

    def running(self) -> bool:
        """Returns whether it is still there."""
        return self.process.poll() is None

    def stopped(self) -> bool:
        """Returns whether it is stopped by SIGSTOP."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return bool(psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED)
        return False

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the process alone."""
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 60.0) -> int:
        """Waits for its end and returns the exit code."""
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL to it and to everything that it has started, and waits for the end of all."""
        below: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            below = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(below, timeout=30)
        self.process.wait()


def start_program(*arguments: str, env: Mapping[str, str], log: Path) -> RunningProgram:
    """Starts ``rtp arguments`` in a process group of its own, in RTP_HOME; the caller stops it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*RTP, *arguments],
            env=dict(env),
            cwd=env["RTP_HOME"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return RunningProgram(process, log)
