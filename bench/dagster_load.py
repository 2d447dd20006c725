"""The backfill as Dagster runs it, next to ``rtp load`` on the same file: speed, and memory of code server plus run.

``python -m bench.dagster_load`` measures the speed on 5 million rows; ``--megabytes 2000`` only loads a file of
that size and tells the memory. The topic keeps little (retention.bytes), and everything is removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from rich.console import Console

from bench.__main__ import bench_servers
from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.topics import delete_topic, ensure_topic
from rtp_workers.local import ports
from rtp_workers.postgres.connection import connect

TOPIC = "transactions"
KEPT_BYTES = 64 << 20  # of each partition
LIMIT_MB = 1000.0  # batch-processor's cap
AT_LEAST = 0.9
STEP = "csv_backfill.load_files"
START_S, RUN_S, SAMPLE_S = 180.0, 3600.0, 1.0


@dataclass
class DagsterRun:
    """One launched backfill.

    Attributes:
        step_s: seconds of the load step, from its start to its success.
        idle_mb: code server before the run, in 10^6 bytes of its own share of memory (PSS).
        peak_mb: code server and run process together, at most.
    """

    step_s: float
    idle_mb: float
    peak_mb: float


def write_rows(path: Path, *, rows: int | None = None, megabytes: int | None = None) -> int:
    """Writes a canonical CSV of so many rows, or of at least so many 10^6 bytes; returns the number of rows."""
    tail = "{0}.{1:02d},C{2},Shop {3},food,EUR,card,booked,DE,\n"
    tails = [tail.format(n % 1000, n % 100, n % 997, n % 331) for n in range(10_000)]
    written = 0
    with path.open("w") as file:
        file.write("transaction_id,occurred_at,amount,customer_id,merchant,category,currency,payment_method,status,")
        file.write("country,attributes\n")
        while (rows is not None and written < rows) or (megabytes is not None and file.tell() < megabytes * 1_000_000):
            count = len(tails) if rows is None else min(len(tails), rows - written)
            head, day = f"R{written // len(tails):08d}", f"2026-01-{written // len(tails) % 28 + 1:02d}T12:00:00Z"
            file.write("".join([f"{head}-{n:05d},{day},{tails[n]}" for n in range(count)]))
            written += count
    at_s = time.time() - 60
    os.utime(path, (at_s, at_s))
    return written


def environment(endpoints: Endpoints, home: Path) -> dict[str, str]:
    """Returns the environment for ``rtp`` and Dagster."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RTP_")}
    return {
        **clean,
        "RTP_HOME": str(home),
        "RTP_DATA_DIR": str(home / "data"),
        "RTP_KAFKA_BOOTSTRAP": endpoints.need("kafka_bootstrap"),
        "RTP_POSTGRES_INGEST_DSN": endpoints.need("postgres_ingest_dsn"),
        "RTP_POSTGRES_READ_DSN": endpoints.need("postgres_read_dsn"),
        "DAGSTER_HOME": str(home / "dagster"),
    }


def write_instance(home: Path, endpoints: Endpoints, port: int) -> None:
    """Writes an instance on Dagster's own database that launches at once, and a workspace with one code server."""
    folder = home / "dagster"
    folder.mkdir()
    url = endpoints.need("dagster_postgres_dsn").replace("postgresql://", "postgresql+psycopg2://", 1)
    launch_now = {"module": "dagster.core.run_coordinator", "class": "DefaultRunCoordinator"}
    instance = {
        "telemetry": {"enabled": False},
        "storage": {"postgres": {"postgres_url": url}},
        "run_coordinator": launch_now,
    }
    server = {"host": "127.0.0.1", "port": port, "location_name": "rtp_dagster"}
    (folder / "dagster.yaml").write_text(json.dumps(instance))
    (folder / "workspace.yaml").write_text(json.dumps({"load_from": [{"grpc_server": server}]}))


@contextmanager
def code_server(env: dict[str, str], home: Path, port: int) -> Iterator[psutil.Process]:
    """Runs the code server as batch-processor does."""
    command = [str(Path(sys.executable).parent / "dagster"), "api", "grpc", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "code-server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--module-name", "rtp_dagster.definitions"], env=env, stdout=log, stderr=log, cwd=home
        )
        try:
            deadline = time.monotonic() + START_S
            while "Started Dagster code server" not in (home / "code-server.log").read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((home / "code-server.log").read_text()[-2000:])
                time.sleep(0.2)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(60)


def launch(env: dict[str, str], file: str) -> str:
    """Launches the backfill of one file through the command line, with no consumer to wait for; returns its id."""
    config = {"ops": {"csv_backfill": {"config": {"files": [file], "ledger_timeout_s": 0.1}}}}
    workspace = f"{env['DAGSTER_HOME']}/workspace.yaml"
    command = [str(Path(sys.executable).parent / "dagster"), "job", "launch", "-j", "batch_backfill", "-w", workspace]
    subprocess.run(
        [*command, "--config-json", json.dumps(config)], env=env, check=True, capture_output=True, timeout=600
    )
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        return instance.get_runs(limit=1)[0].run_id


def watch(env: dict[str, str], server: psutil.Process, run_id: str, idle_mb: float) -> DagsterRun:
    """Samples memory until the run has ended, and reads its load step's time."""
    peak, deadline = idle_mb, time.monotonic() + RUN_S
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        while time.monotonic() < deadline:
            peak = max(peak, memory_mb(server))
            run = instance.get_run_by_id(run_id)
            if run is not None and run.is_finished:
                break
            time.sleep(SAMPLE_S)
        (step,) = instance.get_run_step_stats(run_id, [STEP])
    if step.status is None or step.status.value != "SUCCESS" or not step.end_time or not step.start_time:
        raise RuntimeError(f"the load step of run {run_id} ended as {step.status}")
    return DagsterRun(step.end_time - step.start_time, idle_mb, peak)


def memory_mb(process: psutil.Process) -> float:
    """Returns what the process and its children use, in 10^6 bytes; shared pages are counted once."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1e6


def rtp_load(env: dict[str, str], path: Path) -> float:
    """Returns the seconds that ``rtp load`` says it took."""
    command = [sys.executable, "-m", "rtp_workers.cli.main", "load", str(path), "--json"]
    done = subprocess.run(command, env=env, cwd=env["RTP_HOME"], check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout[done.stdout.index('{"files"') :])
    return float(answer["files"][0]["seconds"])


def fresh(endpoints: Endpoints) -> None:
    """Empties the topic and forgets the load."""
    delete_topic(endpoints, TOPIC)
    configs = {"retention.bytes": str(KEPT_BYTES), "segment.bytes": str(KEPT_BYTES // 4)}
    ensure_topic(endpoints, TOPIC, configs=configs)
    connection = connect(endpoints.need("postgres_dsn"), "rtp-bench", autocommit=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute("truncate csv_loads")
    finally:
        connection.close()


def backfill(env: dict[str, str], path: Path, server: psutil.Process) -> DagsterRun:
    """Launches the backfill of the file and watches it to its end."""
    idle_mb = memory_mb(server)
    return watch(env, server, launch(env, path.name), idle_mb)


def interleaved(
    endpoints: Endpoints, env: dict[str, str], path: Path, server: psutil.Process, rounds: int
) -> tuple[list[DagsterRun], list[float]]:
    """Runs ``rtp load`` and the Dagster step in turn; returns the steps, and the seconds that ``rtp load`` took."""
    steps, alone_s = [], []
    for _ in range(rounds):
        fresh(endpoints)
        alone_s.append(rtp_load(env, path))
        fresh(endpoints)
        steps.append(backfill(env, path, server))
    return steps, alone_s


def main() -> int:
    """Measures and prints; exit 1 where the step is too slow, or the memory over the cap."""
    parser = argparse.ArgumentParser(prog="python -m bench.dagster_load", description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, help="load a file of this size once instead, and tell the memory")
    given = parser.parse_args()
    console = Console()
    alone_s: list[float] = []
    with ExitStack() as stack:
        endpoints, home = stack.enter_context(bench_servers())
        (home / "data").mkdir()
        path, port = home / "data" / "bench.csv", ports.free_port()
        rows = write_rows(path, rows=None if given.megabytes else given.rows, megabytes=given.megabytes)
        env = environment(endpoints, home)
        write_instance(home, endpoints, port)
        server = stack.enter_context(code_server(env, home, port))
        if given.megabytes:
            fresh(endpoints)
            steps = [backfill(env, path, server)]
        else:
            steps, alone_s = interleaved(endpoints, env, path, server, given.rounds)
    step_s, peak_mb = statistics.median(step.step_s for step in steps), max(step.peak_mb for step in steps)
    console.print(f"{rows:,} rows, load step {step_s:.1f} s, {rows / step_s:,.0f} rows/s")
    console.print(f"code server {steps[0].idle_mb:.0f} MB, with the run {peak_mb:.0f} MB at most")
    ratios = [alone / step.step_s for alone, step in zip(alone_s, steps, strict=False)]
    if ratios:
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        median_s, ratio = statistics.median(alone_s), statistics.median(ratios)
        console.print(f"rtp load {median_s:.1f} s; the step reaches {ratio:.2f} of its speed ({each})")
    return 1 if peak_mb > LIMIT_MB or (ratios and statistics.median(ratios) < AT_LEAST) else 0


if __name__ == "__main__":
    sys.exit(main())
