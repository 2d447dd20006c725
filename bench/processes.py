"""CPU seconds and peak memory of the servers and of a program of ours, while something runs."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SAMPLE_S = 0.25  # looking for children costs milliseconds


@dataclass(frozen=True)
class ServerPids:
    """The broker's process, and PostgreSQL's first one."""

    kafka: int
    postgres: int

    def cpu_s(self) -> dict[str, float]:
        """Returns CPU seconds since their start, children included (ended ones too)."""
        return {"kafka": tree_cpu_s(self.kafka), "postgres": tree_cpu_s(self.postgres)}


@dataclass
class ProgramRun:
    """A finished program of ours.

    Attributes:
        cpu_s: user and system seconds, children included.
        peak_mb: largest resident memory seen, children included, in 10^6 bytes.
        output: what it printed.
    """

    cpu_s: float = 0.0
    peak_mb: float = 0.0
    output: str = ""
    returncode: int = 0
    server_cpu_s: dict[str, float] = field(default_factory=dict)


def find_servers() -> ServerPids:
    """Returns the servers among our own children."""
    kafka = postgres = 0
    for child in psutil.Process().children(recursive=True):
        command = child.cmdline()
        if "kafka.Kafka" in command:
            kafka = child.pid
        elif command and Path(command[0]).name == "postgres" and not postgres:
            postgres = child.pid
    return ServerPids(kafka, postgres)


def run_program(arguments: list[str], env: Mapping[str, str], servers: ServerPids, log: Path) -> ProgramRun:
    """Runs ``rtp arguments`` to its end and samples it."""
    before = servers.cpu_s()
    run = ProgramRun()
    own_before = _ended_children_cpu_s()
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "rtp_workers.cli.main", *arguments], env=dict(env), stdout=output, stderr=output
        )
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                family = [watched, *watched.children(recursive=True)]
                run.peak_mb = max(run.peak_mb, sum(member.memory_info().rss for member in family) / 1e6)
            except psutil.Error:
                break
            time.sleep(SAMPLE_S)
        run.returncode = process.wait()
    run.cpu_s = _ended_children_cpu_s() - own_before
    run.server_cpu_s = {name: after - before[name] for name, after in servers.cpu_s().items()}
    run.output = log.read_text()
    return run


def _ended_children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def tree_cpu_s(pid: int) -> float:
    """Returns the CPU seconds of a process and its children, ended ones included.

    Raises:
        psutil.NoSuchProcess: the process itself has ended.
    """
    process = psutil.Process(pid)
    own = process.cpu_times()
    total: float = own.user + own.system + own.children_user + own.children_system
    for child in process.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total
