"""Everything at once, as fast as it goes: nothing is killed for memory, and the peaks are written down."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

from tests.compose.docker import EIGHT, Project, docker, eventually

ROWS = 300_000
BACKLOG = 400_000
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
WRITE_CSV = f"""
import uuid
with open("/var/lib/rtp/big.csv", "w") as file:
    file.write("transaction_id,occurred_at,amount,customer_id,merchant,category\\n")
    for number in range({ROWS}):
        file.write(f"load-{{uuid.uuid4()}},2026-01-01T00:00:00Z,{{number % 900}}.25,C{{number % 5000}},Shop,food\\n")
"""


class Peaks:
    """Samples `docker stats` in a thread until told to stop; keeps each service's highest CPU and memory."""

    def __init__(self, project: Project) -> None:
        self._names = {project.container(service)["Name"].removeprefix("/"): service for service in EIGHT}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.cores = dict.fromkeys(EIGHT, 0.0)
        self.memory_bytes = dict.fromkeys(EIGHT, 0.0)

    def __enter__(self) -> Peaks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.is_set():
            for line in docker("stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}}").splitlines():
                name, cpu, memory, *_ = line.split()
                if name in self._names:
                    self._keep(self._names[name], float(cpu.rstrip("%")) / 100, _bytes(memory))

    def _keep(self, service: str, cores: float, memory_bytes: float) -> None:
        self.cores[service] = max(self.cores[service], cores)
        self.memory_bytes[service] = max(self.memory_bytes[service], memory_bytes)


def test_full_load_kills_nothing_and_stays_under_the_memory_caps(platform: Project, artifacts: Path) -> None:
    restarts = {c["Name"]: c["RestartCount"] for c in platform.containers()}
    platform.exec("batch-processor", "python", "-c", WRITE_CSV)
    with Peaks(platform) as peaks:
        platform.send("CONSUMER", "POST", "/pause")
        before = platform.rows("live")
        platform.send("PRODUCER", "POST", "/burst", {"records": BACKLOG})
        eventually(lambda: platform.get("PRODUCER", "/status")["burst_left"] == 0, 300, "the burst produced")
        platform.send("CONSUMER", "POST", "/resume")
        platform.exec("batch-processor", "rtp", "load", "/var/lib/rtp/big.csv")
        eventually(lambda: platform.rows("live") >= before + BACKLOG, 600, "the burst stored")
        eventually(lambda: platform.rows("csv:big.csv") == ROWS, 300, "the file stored")
    found = platform.verify()
    assert found["ok"], found
    assert [c["Name"] for c in platform.containers() if c["State"]["OOMKilled"]] == []
    assert {c["Name"]: c["RestartCount"] for c in platform.containers()} == restarts
    table = {service: _figures(platform, service, peaks) for service in EIGHT}
    (artifacts / "caps.json").write_text(json.dumps(table, indent=1))
    assert all(row["peak_memory_mb"] < row["cap_memory_mb"] for row in table.values()), table


def _figures(project: Project, service: str, peaks: Peaks) -> dict[str, float]:
    host = project.container(service)["HostConfig"]
    return {
        "cap_cores": host["CpuQuota"] / host["CpuPeriod"],
        "peak_cores": round(peaks.cores[service], 2),
        "cap_memory_mb": host["Memory"] >> 20,
        "peak_memory_mb": round(peaks.memory_bytes[service] / (1 << 20)),
    }


def _bytes(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)([A-Za-z]+)", text)
    assert found is not None, text
    return float(found.group(1)) * UNITS[found.group(2)]
