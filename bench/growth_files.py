"""``python -m bench.growth_files``: large CSV files, and a folder of 10,000 files.

A large file is plain text with ids, or the same compressed with gzip, or plain text without ids, so that they are
derived. While it is loaded, the loader's memory is watched. In the middle, the load is killed with SIGKILL and started
again: how long does it take until it sends again?
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import psutil

from bench.__main__ import bench_servers
from bench.growth_reads import Seconds, ticks
from bench.processes import find_servers
from bench.records import records, write_csv
from bench.soak import environment
from rtp_dagster.definitions import defs
from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.topics import ensure_topic
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.csv_files import Attempt, note

TOPIC = "bench-files"
BLOCK_RECORDS = 100_000
SAMPLE_S = 0.5
KEEPS_LITTLE = {"retention.bytes": str(64 << 20), "segment.bytes": str(16 << 20)}
PLAIN, GZIP, DERIVED = "plain", "gzip", "derived"
KINDS = (PLAIN, GZIP, DERIVED)
FIRST_NUMBERS = {PLAIN: 0, GZIP: 1 << 23}  # the same rows in another file would be recognised as loaded
WAIT_S = 600.0
SETTLED_S = 3_600  # files that were written so long ago are complete
PROGRESS = "select coalesce(max(acknowledged), 0) from csv_loads where file_name = %s"


@dataclass
class Bench:
    """Servers, and where files go."""

    endpoints: Endpoints
    home: Path

    def env(self, data: Path) -> dict[str, str]:
        """Returns the environment for programs of ours."""
        names = ("postgres_dsn", "postgres_read_dsn", "postgres_insights_dsn")
        known = {f"RTP_{name.upper()}": self.endpoints.need(name) for name in names}
        return {**environment(self.endpoints, self.home, TOPIC), **known, "RTP_DATA_DIR": str(data)}

    def acknowledged(self, file: Path) -> int:
        """Returns how many rows of a file are in Kafka, as far as the loader has noted."""
        dsn = self.endpoints.need("postgres_dsn")
        with closing(connect(dsn, "rtp-bench", autocommit=True)) as connection, connection.cursor() as cursor:
            cursor.execute(PROGRESS, (file.name,))
            return int(cursor.fetchall()[0][0])


@dataclass
class Load:
    """A running `rtp load`, in a process group of its own."""

    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, bench: Bench, file: Path) -> Load:
        """Starts it."""
        log = bench.home / "load.log"
        with log.open("wb") as output:
            command = [sys.executable, "-m", "rtp_workers.cli.main", "load", str(file), "--json", "--wait", "0"]
            process = subprocess.Popen(
                command, env=bench.env(file.parent), stdout=output, stderr=output, start_new_session=True
            )
        return cls(process, log)

    def memory_mb(self) -> Iterator[float]:
        """Yields the resident memory of all its processes, until it has ended."""
        watched = psutil.Process(self.process.pid)
        while self.process.poll() is None:
            try:
                family = [watched, *watched.children(recursive=True)]
                yield sum(member.memory_info().rss for member in family) / 1e6
            except psutil.Error:
                continue
            time.sleep(SAMPLE_S)

    def kill(self) -> None:
        """Kills it with all its processes."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def write_large(path: Path, size_bytes: int, kind: str) -> int:
    """Writes a CSV with our own columns whose rows are all different, and returns how many rows it has.

    Args:
        path: the file; it should end with ``.gz`` for gzip.
        size_bytes: of the text, roughly.
        kind: one of `KINDS`.
    """
    block_file = path.with_suffix(".block")
    write_csv(block_file, records(BLOCK_RECORDS))
    header, _, block = block_file.read_bytes().partition(b"\n")
    block_file.unlink()
    copies = max(1, size_bytes // len(block))
    if kind == DERIVED:
        header, block = header.partition(b",")[2], re.sub(rb"(?m)^[^,]*,", b"", block)
    with gzip.open(path, "wb", compresslevel=1) if kind == GZIP else path.open("wb") as file:
        file.write(header + b"\n")
        for number in range(copies):
            if kind == DERIVED:  # another hour for each copy, so that no row comes twice
                at = datetime(2000, 1, 1) + timedelta(hours=number)
                file.write(
                    re.sub(rb"(?m)^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}", at.strftime("%Y-%m-%dT%H").encode(), block)
                )
            else:
                file.write(re.sub(rb"(?m)^[0-9a-f]{6}", b"%06x" % (FIRST_NUMBERS[kind] + number), block))
    return copies * BLOCK_RECORDS


def large_file(bench: Bench, size_bytes: int, kind: str) -> dict[str, Any]:
    """Loads a large file, watches the memory, and kills the load once in the middle."""
    folder = bench.home / f"large-{kind}"
    folder.mkdir()
    file = folder / ("large.csv.gz" if kind == GZIP else f"large-{kind}.csv")
    rows = write_large(file, size_bytes, kind)
    settled = time.time() - SETTLED_S
    os.utime(file, (settled, settled))
    load = Load.start(bench, file)
    started = time.perf_counter()
    memory: list[float] = []
    killed_at, first_s, resumed_s = 0, 0.0, 0.0
    for resident in load.memory_mb():
        memory.append(resident)
        if (sent := bench.acknowledged(file)) > rows / 2:
            first_s = time.perf_counter() - started
            load.kill()
            killed_at = sent
            again = time.perf_counter()
            load = Load.start(bench, file)
            while bench.acknowledged(file) <= sent and load.process.poll() is None:
                time.sleep(0.05)
            resumed_s = time.perf_counter() - again
            break
    if not killed_at:
        raise RuntimeError(load.log.read_text()[-2000:])
    after = list(load.memory_mb())[2:]
    seconds = time.perf_counter() - started
    if load.process.wait(WAIT_S):
        raise RuntimeError(load.log.read_text()[-2000:])
    found = {
        "kind": kind,
        "bytes": file.stat().st_size,
        "rows": rows,
        "seconds_with_kill": round(seconds, 1),
        "killed_at_row": killed_at,
        "rows_a_second_before_the_kill": round(killed_at / first_s) if first_s else None,
        "seconds_until_it_sends_again": round(resumed_s, 1),
        "memory_mb": {"before the kill": _quarters(memory[2:]), "after it": _quarters(after)},
        "report": json.loads(load.log.read_text()[load.log.read_text().index('{"files"') :]),
    }
    shutil.rmtree(folder)
    return found


def _quarters(memory: list[float]) -> list[float]:
    """Returns the medians of the four quarters of the samples, and their largest."""
    if len(memory) < 8:
        return memory
    quarter = len(memory) // 4
    medians = [statistics.median(memory[n * quarter : (n + 1) * quarter]) for n in range(4)]
    return [round(megabytes, 1) for megabytes in (*medians, max(memory))]


def many_files(bench: Bench, count: int) -> dict[str, dict[str, float]]:
    """Times ticks of the arrival sensor: all files new, then all loaded."""
    folder = bench.home / "many"
    folder.mkdir()
    line = "transaction_id,occurred_at,amount\nid-{0},2026-01-01T00:00:00Z,1.00\n"
    for number in range(count):
        (folder / f"export-{number:05}.csv").write_text(line.format(number))
    settled = time.time() - SETTLED_S
    for path in folder.iterdir():
        os.utime(path, (settled, settled))
    seconds = Seconds(find_servers())
    loaded = defs()
    sensors = {sensor.name: sensor for sensor in loaded.get_repository_def().sensor_defs}
    with (
        tempfile.TemporaryDirectory() as home,
        dg.DagsterInstance.local_temp(home) as instance,
        patch.dict(os.environ, bench.env(folder), clear=True),
    ):
        ticks(seconds, sensors["csv_arrival_sensor"], instance, loaded, f"{count:,} new files: ")
        with seconds.of("(noting that all are loaded)"):
            _note_loaded(bench, folder)
        ticks(seconds, sensors["csv_arrival_sensor"], instance, loaded, f"{count:,} loaded files: ")
    return seconds.found


def _note_loaded(bench: Bench, folder: Path) -> None:
    dsn = bench.endpoints.need("postgres_ingest_dsn")
    with closing(connect(dsn, "rtp-bench", autocommit=True)) as connection:
        for path in folder.iterdir():
            state = path.stat()
            note(connection, Attempt(path.name, state.st_size, state.st_mtime_ns, "", "loaded", identity=path.name))


def main() -> int:
    """Prints the figures, and writes them as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth_files", description=__doc__)
    parser.add_argument("--gb", type=float, default=10.0, help="size of a large file's text, in 10^9 bytes; 0 for none")
    parser.add_argument("--kinds", nargs="+", default=[PLAIN], choices=KINDS, help="of the large files")
    parser.add_argument("--files", type=int, default=10_000, help="how many in the folder; 0 for none")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    with bench_servers() as (endpoints, home):
        bench = Bench(endpoints, home)
        ensure_topic(endpoints, TOPIC, configs=KEEPS_LITTLE)
        if given.files:
            found["many_files_s"] = many_files(bench, given.files)
        found["large_files"] = []
        for kind in given.kinds if given.gb else ():
            found["large_files"].append(large_file(bench, int(given.gb * 1e9), kind))
            print(json.dumps(found["large_files"][-1], indent=1), flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "growth_files.json").write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
