"""``python -m bench.peers``: this platform and what a user would pick instead, on the same records in the same run.

Peers are installed by their ordinary clients into a cache folder of the user, never into the project. Rounds are
interleaved, and ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console

from bench.__main__ import bench_servers
from bench.peers import cases, report, table
from bench.peers.arena import Arena
from bench.peers.debezium import Debezium
from bench.peers.ours import Ours
from bench.peers.peer import NotAvailableError, Peer
from bench.peers.quix import Quix
from bench.peers.report import Report, Standing
from bench.peers.spark import Spark
from bench.processes import find_servers
from bench.records import Records, records
from rtp_workers.postgres.connection import connect

# Looked for and not to be had by an ordinary client of a package registry.
UNAVAILABLE = {
    "Aiven JDBC sink for Kafka Connect": "it is not on Maven Central",
    "Confluent JDBC sink for Kafka Connect": "it is not on Maven Central",
    "Vector": "it is published as binaries and images, not on a package registry",
    "Redpanda Connect": "a package registry has only its source, and building it was not tried",
}


def main() -> int:
    """Measures everything, prints the tables, writes JSON and chart."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))  # so that every contestant is stopped, too
    console = Console(width=150)
    with bench_servers({"track_commit_timestamp": "on"}) as (endpoints, home):
        owner = connect(endpoints.need("postgres_dsn"), "rtp-bench-peers")
        table.create(owner)
        arena = Arena(endpoints, find_servers(), owner, home)
        contestants = _contestants(endpoints.need("postgres_ingest_dsn"), given.cache, given.only)
        machine = f"{platform.machine()}, {psutil.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB"
        date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        result = Report(f"{machine}, Python {platform.python_version()}", date, given.records, given.trial_records)
        present = _install(contestants, result, console)
        _race(arena, present, result, given.rounds, console)
        report.write(result, given.out)  # the trials may take long
        _try(arena, present, result, given.trials, console)
        owner.close()
    result.standings += [Standing(name, not_measured=why) for name, why in UNAVAILABLE.items()]
    report.show(result, console)
    report.write(result, given.out)
    console.print(f"written to {given.out}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--records", type=int, default=500_000, help="of a run for speed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trial-records", type=int, default=50_000, help="of a trial; 0: no trials")
    parser.add_argument("--trials", default="", help="only trials with this text in their names")
    parser.add_argument("--only", default="", help="only contestants with this text in their names")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "real-time-data-platform-peers"
    parser.add_argument("--cache", type=Path, default=cache, help="where the peers are installed")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results")
    return parser.parse_args()


def _contestants(ingest_dsn: str, cache: Path, only: str) -> list[Peer]:
    everybody: list[Peer] = [
        Ours(ingest_dsn),
        Spark(cache / "spark"),
        Debezium(cache / "connect", "insert"),
        Debezium(cache / "connect", "upsert"),
        Quix(cache / "quix"),
    ]
    return [peer for peer in everybody if only in peer.name]


def _install(contestants: list[Peer], result: Report, console: Console) -> list[tuple[Peer, Standing]]:
    present = []
    for peer in contestants:
        standing = Standing(peer.name, settings=peer.settings())
        result.standings.append(standing)
        console.print(f"installing {peer.name}")
        try:
            standing.versions = peer.install()
        except NotAvailableError as error:
            standing.not_measured = str(error)
            continue
        present.append((peer, standing))
    return present


def _race(arena: Arena, present: list[tuple[Peer, Standing]], result: Report, rounds: int, console: Console) -> None:
    made = cases.plain(records(result.records))
    for number in range(rounds):
        with arena.topic(f"peers-{number}", made) as topic:
            for peer, standing in present:
                if standing.not_measured:
                    continue
                try:
                    speed = arena.measure(peer, topic, len(made.values))
                except (RuntimeError, ValueError) as error:
                    standing.not_measured = str(error)
                    console.print(standing.not_measured)
                    continue
                standing.speeds.append(speed)
                console.print(f"round {number + 1}: {peer.name} {speed.rows_per_s:,.0f} rows/s")


def _try(arena: Arena, present: list[tuple[Peer, Standing]], result: Report, only: str, console: Console) -> None:
    if not result.trial_records:
        return
    made: Records = cases.plain(records(result.trial_records))
    for index, case in enumerate(case for case in cases.trials(made) if only in case.name):
        with arena.topic(f"peers-trial-{index}", case.records) as topic:
            for peer, standing in present:
                trial = arena.trial(peer, topic, case)
                standing.trials.append(trial)
                console.print(f"{case.name}: {peer.name}: {trial.count}, {trial.set_aside} set aside, {trial.state}")


if __name__ == "__main__":
    sys.exit(main())
