"""What the consumer costs while a server is away: nothing may spin, and memory stays where it was.

    python -m bench.idle_cost [--seconds 20]

For each state: the process' CPU as a share of one core, and its resident memory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import raw
from bench.records import records
from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.topics import ensure_topic
from rtp_workers.local import ports
from rtp_workers.local.embedded import EmbeddedServers
from rtp_workers.local.kafka_server import KafkaServer
from rtp_workers.local.postgres_server import PostgresServer
from rtp_workers.postgres.migrate import migrate

MOST_OF_A_CORE = 0.05
MOST_GROWTH_MB = 100.0
BACKLOG = 200_000  # more than the consumer may hold: its queue and its batches are full while PostgreSQL is away
SETTLE_S = 10.0
TOPIC = "bench-idle"


@dataclass(frozen=True)
class Cost:
    """What was seen in one state of the servers."""

    state: str
    of_a_core: float
    resident_mb: float


def environment(endpoints: Endpoints, home: Path) -> dict[str, str]:
    """Returns the environment of a consumer with its API."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RTP_")}
    return {
        **clean,
        "RTP_HOME": str(home),
        "RTP_TOPIC": TOPIC,
        "RTP_CONSUMER_PORT": str(ports.free_port()),
        "RTP_KAFKA_BOOTSTRAP": endpoints.need("kafka_bootstrap"),
        "RTP_POSTGRES_INGEST_DSN": endpoints.need("postgres_ingest_dsn"),
    }


def measure(state: str, process: psutil.Process, seconds: float) -> Cost:
    """Lets the state settle, then takes the CPU time of `seconds`."""
    time.sleep(SETTLE_S)
    before, started = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(seconds)
    used = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - started)
    cost = Cost(state, used, process.memory_info().rss / 1e6)
    print(f"{state:32} {cost.of_a_core:6.2%} of a core, {cost.resident_mb:5.0f} MB", flush=True)
    return cost


def start(server: KafkaServer | PostgresServer) -> None:
    """Starts a stopped server and waits until it serves."""
    server.prepare()
    server.start()
    server.wait_ready()


def every_state(
    process: psutil.Process, kafka: KafkaServer, postgres: PostgresServer, fill: Callable[[], object], seconds: float
) -> list[Cost]:
    """Takes the servers away in turn, and measures each time."""
    costs = [measure("all there, nothing to do", process, seconds)]
    kafka.stop()
    costs.append(measure("Kafka away", process, seconds))
    start(kafka)
    costs.append(measure("Kafka there again", process, seconds))
    postgres.stop()
    costs.append(measure("PostgreSQL away", process, seconds))
    fill()
    costs.append(measure("PostgreSQL away, Kafka full", process, seconds))
    kafka.stop()
    costs.append(measure("both away", process, seconds))
    return costs


def main() -> int:
    """Prints a line a state; exit 1 where one costs too much."""
    parser = argparse.ArgumentParser(prog="python -m bench.idle_cost", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    home = Path(tempfile.gettempdir()) / f"rtp-idle-{os.getpid()}"
    home.mkdir(mode=0o755)
    kafka, postgres = KafkaServer(home, ports.free_port()), PostgresServer(home, ports.free_port())
    pair = EmbeddedServers(kafka, postgres)
    consumer: subprocess.Popen[bytes] | None = None
    try:
        pair.start()
        endpoints = pair.endpoints()
        migrate(endpoints.need("postgres_dsn"))
        ensure_topic(endpoints, TOPIC)
        with (home / "consume.log").open("wb") as log:
            command = [sys.executable, "-m", "rtp_workers.cli.main", "consume"]
            consumer = subprocess.Popen(command, env=environment(endpoints, home), stdout=log, stderr=log, cwd=home)
        backlog = records(BACKLOG)
        process = psutil.Process(consumer.pid)
        costs = every_state(process, kafka, postgres, lambda: raw.produce(endpoints, TOPIC, backlog), given.seconds)
    finally:
        if consumer is not None:
            consumer.kill()
            consumer.wait()
        pair.stop()
        shutil.rmtree(home)
    growth_mb = costs[-1].resident_mb - costs[0].resident_mb
    print(f"grown by {growth_mb:.0f} MB (at most {MOST_GROWTH_MB:.0f}); at most {MOST_OF_A_CORE:.0%} of a core each")
    return 1 if growth_mb > MOST_GROWTH_MB or any(cost.of_a_core > MOST_OF_A_CORE for cost in costs) else 0


if __name__ == "__main__":
    sys.exit(main())
