"""What the checks against stored rows cost: ``eval "$(rtp env)"; python -m bench.overlap_cost [ROWS]``.

Loads two overlapping exports without ids into the platform of the environment, and compares the time of the checks of
the second one with the time of its whole load. Run it on a platform that you throw away.
"""

from __future__ import annotations

import sys
import tempfile
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rtp_workers.batch import memory
from rtp_workers.batch.load_file import LoadOptions, load_file
from rtp_workers.batch.planning import Overrides, plan_file
from rtp_workers.batch.source_file import open_source
from rtp_workers.endpoints import Endpoints, resolve
from rtp_workers.postgres import csv_sources
from rtp_workers.postgres.connection import connect
from rtp_workers.settings import LoaderSettings, load

START = datetime(2026, 1, 1, tzinfo=UTC)


def export(path: Path, first: int, rows: int) -> None:
    """Writes rows of one account, a minute apart, from the row `first` on."""
    with path.open("w") as file:
        file.write("Date,Description,Amount,Balance\n")
        for number in range(first, first + rows):
            at = (START + timedelta(minutes=number)).strftime("%Y-%m-%d %H:%M:%S")
            file.write(f"{at},Shop {number % 997},-{number % 89}.{number % 10}0,{number}.00\n")


def checks_s(path: Path, endpoints: Endpoints, settings: LoaderSettings) -> tuple[float, int]:
    """Returns the seconds that recalling and comparing take, and the memory that they need at their peak."""
    connection = connect(endpoints.need("postgres_ingest_dsn"), "bench", autocommit=True)
    tracemalloc.start()
    try:
        with open_source(str(path)) as source:
            started = time.perf_counter()
            memories = csv_sources.all_sources(connection)
            recalled_s = time.perf_counter() - started
            planned = plan_file(source, settings, Overrides(), memories)
            started = time.perf_counter()
            settled = memory.settle(connection, source, planned, [])
            memory.refuse_overlap(connection, source, settled.planned)
            return recalled_s + time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        connection.close()


def main() -> None:
    """Prints one line."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    settings = load(LoaderSettings)
    endpoints = resolve(settings)
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "bench_1.csv", Path(folder) / "bench_2.csv"
        export(first, 0, rows)
        export(second, rows * 9 // 10, rows)
        load_file(str(first), endpoints, settings, LoadOptions(wait_s=30))
        started = time.perf_counter()
        report = load_file(str(second), endpoints, settings, LoadOptions(wait_s=30))
        whole_s = time.perf_counter() - started
        checked_s, peak_bytes = checks_s(second, endpoints, settings)
    print(
        f"{report.rows_read:,} rows: {whole_s:.2f} s, of which checks {checked_s:.3f} s (with memory traced): "
        f"{checked_s / whole_s:.1%}; peak {peak_bytes / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
