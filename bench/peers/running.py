"""A contestant's process: started, watched, killed, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from bench.peers.measure import Sample
from bench.peers.peer import STOP_S, Launch
from bench.processes import SAMPLE_S, ServerPids, tree_cpu_s


class Running:
    """One start of a contestant, in a process group of its own."""

    def __init__(self, launch: Launch, folder: Path) -> None:
        self._log = folder / "output.log"
        self._output = self._log.open("ab")
        self._log_start = self._log.stat().st_size
        self.process = subprocess.Popen(
            launch.argv,
            env=dict(launch.env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )

    def is_alive(self) -> bool:
        """Returns whether it has not ended."""
        return self.process.poll() is None

    def output(self) -> str:
        """Returns what it has printed since this start."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def kill(self) -> None:
        """Ends the whole group at once, as a machine without power would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self._ended()

    def stop(self) -> None:
        """Stops it as its documentation says, with SIGTERM; kills what is left after `STOP_S`."""
        if self.is_alive():
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._ended()

    def _ended(self) -> None:
        self.process.wait()
        self._output.close()


class Sampler:
    """Looks at a contestant and at the servers every `SAMPLE_S`, from a thread."""

    def __init__(self, pid: int, servers: ServerPids) -> None:
        self.samples: list[Sample] = []
        self._pid = pid
        self._servers = servers
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> list[Sample]:
        """Ends the thread and returns the samples."""
        self._done.set()
        self._thread.join()
        return self.samples

    def _look(self) -> None:
        while not self._done.wait(SAMPLE_S):
            try:
                self.samples.append(self._sample())
            except psutil.NoSuchProcess:
                return

    def _sample(self) -> Sample:
        watched = psutil.Process(self._pid)
        memory = 0
        for member in (watched, *watched.children(recursive=True)):
            try:
                memory += member.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        machine = psutil.cpu_times()
        cpu_s = {"contestant": tree_cpu_s(self._pid), **self._servers.cpu_s()}
        return Sample(time.time(), cpu_s, memory, machine.idle + machine.iowait)
