"""``python -m bench.overlap_cost``: what the comparison of a file with stored rows costs, next to its whole load.

Two exports of one account, without ids, overlap by a tenth. Before the second one is loaded, its checks are timed, and
the memory that they take is traced in a run of its own. The same with smaller files shows whether the memory stays the
same, and what the checks cost where they look at a larger part of the file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import tracemalloc
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.processes import ServerPids, find_servers, run_program
from rtp_workers.batch import memory
from rtp_workers.batch.planning import Overrides, PlannedFile, plan_file
from rtp_workers.batch.source_file import SourceFile, open_source
from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.topics import ensure_topic
from rtp_workers.postgres import csv_sources
from rtp_workers.postgres.connection import Connection, connect
from rtp_workers.settings import LoaderSettings, load

START = datetime(2020, 1, 1, tzinfo=UTC)
TOPIC = "bench-overlap"
AT_MOST = 0.05  # of the load's time
TIMED_RUNS = 5


@dataclass(frozen=True, slots=True)
class OverlapCost:
    """What the checks of one file cost.

    Attributes:
        checks_s: recalling the source, comparing, and looking for repeats; the median of five runs.
        load_s: the whole load: finding how to read the file, checks, and sending it. Python's start is left out.
        peak_mb: memory that the checks take at their peak, in 10^6 bytes.
    """

    rows: int
    checks_s: float
    load_s: float
    peak_mb: float

    @property
    def share(self) -> float:
        """The part of the load's time that is spent on checks."""
        return self.checks_s / self.load_s

    def __str__(self) -> str:
        return (
            f"{self.rows:,} rows: checks {self.checks_s:.3f} s of {self.load_s:.2f} s: {self.share:.1%} "
            f"(≤ {AT_MOST:.0%}), {self.peak_mb:.1f} MB"
        )


def measure(endpoints: Endpoints, home: Path, rows: int, name: str) -> OverlapCost:
    """Loads two overlapping exports of an account of its own.

    Args:
        endpoints: servers of the benchmark.
        home: a folder for files and settings.
        rows: of each file.
        name: of the account; no two of one run are the same.
    """
    ensure_topic(endpoints, TOPIC)
    servers = find_servers()
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RTP_")}
    env = {
        **clean,
        "RTP_HOME": str(home),
        "RTP_TOPIC": TOPIC,
        "RTP_GROUP_ID": "bench-overlap",
        "RTP_KAFKA_BOOTSTRAP": endpoints.need("kafka_bootstrap"),
        "RTP_POSTGRES_INGEST_DSN": endpoints.need("postgres_ingest_dsn"),
    }
    first, second = home / f"{name}_1.csv", home / f"{name}_2.csv"
    _export(first, name, 0, rows)
    _export(second, name, rows * 9 // 10, rows)
    _run(["load", str(first), "--json"], env, servers, home)
    _run(["consume", "--no-api", "--until-idle", "2s"], env, servers, home)
    connection = connect(endpoints.need("postgres_ingest_dsn"), "rtp-bench", autocommit=True)
    try:
        settings = load(LoaderSettings)
        timed = [_timed(connection, second, settings) for _ in range(TIMED_RUNS)]
        plan_s, checks_s = (statistics.median(times) for times in zip(*timed, strict=True))
        peak_mb = _peak_mb(connection, second, settings)
    finally:
        connection.close()
    loaded = _run(["load", str(second), "--json"], env, servers, home)
    answer = json.loads(loaded[loaded.index('{"files"') :])["files"][0]
    _run(["consume", "--no-api", "--until-idle", "2s"], env, servers, home)
    return OverlapCost(rows, checks_s, plan_s + checks_s + answer["seconds"], peak_mb)


def _export(path: Path, name: str, first: int, rows: int) -> None:
    """Writes rows of one account, a minute apart, from the row `first` on."""
    with path.open("w") as file:
        file.write(f"Date,Description,Amount,Balance,{name}\n")
        for number in range(first, first + rows):
            at = (START + timedelta(minutes=number)).strftime("%Y-%m-%d %H:%M:%S")
            file.write(f"{at},{name} {number % 997},-{number % 89}.{number % 10}0,{number}.00,x\n")
    at_s = time.time() - 60
    os.utime(path, (at_s, at_s))


def _timed(connection: Connection, path: Path, settings: LoaderSettings) -> tuple[float, float]:
    """Returns the seconds that the plan takes, and those that the checks take."""
    with open_source(str(path)) as source:
        started = time.perf_counter()
        memories = csv_sources.all_sources(connection)
        recalled = time.perf_counter()
        planned = plan_file(source, settings, Overrides(), memories)
        plan_done = time.perf_counter()
        _check(connection, source, planned)
        return plan_done - recalled, recalled - started + time.perf_counter() - plan_done


def _peak_mb(connection: Connection, path: Path, settings: LoaderSettings) -> float:
    with open_source(str(path)) as source:
        planned = plan_file(source, settings, Overrides(), csv_sources.all_sources(connection))
        tracemalloc.start()
        _check(connection, source, planned)
        peak_mb = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        return peak_mb


def _check(connection: Connection, source: SourceFile, planned: PlannedFile) -> None:
    memory.refuse_overlap(connection, source, memory.settle(connection, source, planned, []))


def _run(arguments: list[str], env: dict[str, str], servers: ServerPids, home: Path) -> str:
    run = run_program(arguments, env, servers, home / "overlap.log")
    if run.returncode:
        raise RuntimeError(run.output[-3_000:])
    return run.output


def main() -> int:
    """Prints a line a size; exit 1 where the checks of the larger file take too long."""
    # Not at the top of the file: `python -m bench` measures this too.
    from bench.__main__ import bench_servers

    parser = argparse.ArgumentParser(prog="python -m bench.overlap_cost", description=__doc__)
    parser.add_argument("--records", type=int, default=300_000)
    given = parser.parse_args()
    with bench_servers() as (endpoints, home):
        for name, rows in (("small", given.records // 10), ("middle", given.records // 4), ("large", given.records)):
            cost = measure(endpoints, home, rows, name)
            print(cost, flush=True)
    return 0 if cost.share <= AT_MOST else 1


if __name__ == "__main__":
    sys.exit(main())
