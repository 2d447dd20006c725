"""``python -m bench.growth_group``: how cost grows with consumers, partitions and clients of the pages.

Kafka, PostgreSQL and all consumers share this machine. So more consumers cannot be faster here than its cores allow;
what is measured is how evenly they share, and what sharing costs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from bench import raw
from bench.__main__ import EMPTY, bench_servers
from bench.processes import ServerPids, find_servers, run_program, tree_cpu_s
from bench.records import Records, records
from bench.soak import await_, call, environment, service
from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.topics import delete_topic, ensure_topic
from rtp_workers.postgres import control
from rtp_workers.postgres.connection import connect

TOPIC = "bench-group"
PARTITIONS = 6
WAIT_S = 300.0
WATCHED_S = 15.0
PROBES = 20
LAST_WRITE_MS = "select (extract(epoch from max(updated_at)) * 1000)::bigint from ingest_ledger"

Consumer = tuple[psutil.Process, str]  # the process and its URL


@dataclass
class Bench:
    """The servers and records of all parts, and what was found."""

    endpoints: Endpoints
    servers: ServerPids
    home: Path
    records: Records
    found: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def tell(self, part: str, **figures: Any) -> None:
        """Prints and keeps figures."""
        self.found.setdefault(part, []).append(figures)
        print(f"{part}: " + ", ".join(f"{name} {value}" for name, value in figures.items()), flush=True)

    def env(self, topic: str) -> dict[str, str]:
        """Returns the environment for programs of ours; a group per topic."""
        return {**environment(self.endpoints, self.home, topic), "RTP_GROUP_ID": f"group-{topic}"}

    def query(self, sql: str) -> int:
        """Runs a statement as the owner; returns its number, or 0."""
        dsn = self.endpoints.need("postgres_dsn")
        with closing(connect(dsn, "rtp-bench", autocommit=True)) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return int(cursor.fetchall()[0][0]) if cursor.description else 0

    def pause(self, *, paused: bool) -> None:
        """Pauses or resumes all consumers."""
        with closing(connect(self.endpoints.need("postgres_dsn"), "rtp-bench", autocommit=True)) as connection:
            control.set_pause(connection, paused=paused, reason="until all are there")

    def await_(self, condition: Callable[[], bool]) -> float:
        """Waits for the condition; returns the seconds."""
        started = time.perf_counter()
        await_(condition, WAIT_S, self.home / "consume-0.log")
        return round(time.perf_counter() - started, 1)

    @contextmanager
    def consumer(self, topic: str, number: int = 0) -> Iterator[Consumer]:
        """Runs a consumer with its API."""
        with service(f"consume-{number}", ["consume"], self.env(topic), self.home) as started:
            yield started


def assigned(consumer: Consumer) -> int:
    """Returns how many partitions a consumer owns."""
    return sum(partition["assigned"] for partition in call(consumer[1], "/status")["partitions"])


def consumers(bench: Bench, topic: str, rounds: int) -> None:
    """Rate and balance of one, two and three consumers of a group."""
    total = len(bench.records.values)
    for _ in range(rounds):
        for count in (1, 2, 3):
            bench.query(EMPTY)
            bench.pause(paused=True)
            with ExitStack() as stack:
                group = [stack.enter_context(bench.consumer(topic, number)) for number in range(count)]
                even = [PARTITIONS // count] * count
                bench.await_(lambda group=group, even=even: list(map(assigned, group)) == even)  # type: ignore[misc] # mypy cannot infer a lambda with a default
                before = bench.servers.cpu_s()
                own = [tree_cpu_s(process.pid) for process, _ in group]
                started = time.perf_counter()
                bench.pause(paused=False)
                bench.await_(lambda: bench.query("select coalesce(sum(inserted), 0) from ingest_ledger") == total)
                seconds = time.perf_counter() - started
                used = {name: round(after - before[name], 1) for name, after in bench.servers.cpu_s().items()}
                shares = [call(url, "/status")["since_start"]["inserted"] / total for _, url in group]
                bench.tell(
                    "consumers",
                    count=count,
                    per_s=round(total / seconds),
                    shares=[round(share, 2) for share in shares],
                    consumers_cpu_s=[round(tree_cpu_s(p.pid) - b, 1) for (p, _), b in zip(group, own, strict=True)],
                    servers_cpu_s=used,
                )


def rebalances(bench: Bench, topic: str) -> None:
    """Seconds until the partitions are shared again after a join, a kill and an orderly end."""
    with ExitStack() as stack:
        group = [stack.enter_context(bench.consumer(topic, number)) for number in range(2)]
        bench.await_(lambda: list(map(assigned, group)) == [3, 3])
        started = time.perf_counter()
        third = stack.enter_context(bench.consumer(topic, 2))
        bench.await_(lambda: [assigned(one) for one in (*group, third)] == [2, 2, 2])
        bench.tell("rebalance", what="a third is started", seconds=round(time.perf_counter() - started, 1))
        third[0].kill()
        seconds = bench.await_(lambda: list(map(assigned, group)) == [3, 3])
        bench.tell("rebalance", what="it is killed (-9)", seconds=seconds)
        group[1][0].terminate()
        bench.tell("rebalance", what="another ends (TERM)", seconds=bench.await_(lambda: assigned(group[0]) == 6))


def partitions(bench: Bench, rounds: int) -> None:
    """Rate and idle cost with 6, 24 and 96 partitions."""
    for _ in range(rounds):
        for count in (6, 24, 96):
            topic = f"{TOPIC}-{count}"
            bench.query(EMPTY)
            ensure_topic(bench.endpoints, topic, partitions=count)
            raw.produce(bench.endpoints, topic, bench.records)
            arguments = ["consume", "--no-api", "--until-idle", "1s"]
            run = run_program(arguments, bench.env(topic), bench.servers, bench.home / "consume.log")
            opened = next(line for line in run.output.splitlines() if '"event": "partitions_opened"' in line)
            begun = datetime.fromisoformat(json.loads(opened)["timestamp"]).timestamp()
            seconds = bench.query(LAST_WRITE_MS) / 1000 - begun
            with bench.consumer(topic) as one:
                time.sleep(5)
                idle = _cpu_percent(bench, one)
            delete_topic(bench.endpoints, topic)
            per_s = round(len(bench.records.values) / seconds)
            bench.tell("partitions", count=count, per_s=per_s, peak_mb=round(run.peak_mb), idle_cpu_percent=idle)


def _cpu_percent(bench: Bench, consumer: Consumer) -> dict[str, float]:
    """Returns how much of a core each process uses over `WATCHED_S` seconds."""
    before = {**bench.servers.cpu_s(), "consumer": tree_cpu_s(consumer[0].pid)}
    time.sleep(WATCHED_S)
    after = {**bench.servers.cpu_s(), "consumer": tree_cpu_s(consumer[0].pid)}
    return {name: round((after[name] - before[name]) / WATCHED_S * 100, 1) for name in before}


def clients(bench: Bench, topic: str) -> None:
    """What 1 to 1,000 clients of the pages cost, and how fast /status answers meanwhile."""
    with bench.consumer(topic) as one:
        port = one[1].rpartition(":")[2]
        for count in (1, 10, 100, 1_000):
            command = [sys.executable, "-m", "bench.api_clients", "127.0.0.1", port, str(count)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            try:
                assert process.stdout is not None
                process.stdout.readline()
                waits = sorted(_answer_ms(one[1]) for _ in range(PROBES))
                used = _cpu_percent(bench, one)
            finally:
                process.kill()
                process.communicate()
            bench.tell(
                "clients",
                count=count,
                status_ms_median=round(statistics.median(waits), 1),
                status_ms_longest=round(waits[-1], 1),
                cpu_percent=used,
            )


def _answer_ms(url: str) -> float:
    started = time.perf_counter()
    urllib.request.urlopen(f"{url}/status", timeout=30).read()
    return (time.perf_counter() - started) * 1000


def main() -> int:
    """Prints a line a figure, and writes all as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth_group", description=__doc__)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    with bench_servers() as (endpoints, home):
        bench = Bench(endpoints, find_servers(), home, records(given.records))
        ensure_topic(endpoints, TOPIC, partitions=PARTITIONS)
        raw.produce(endpoints, TOPIC, bench.records)
        consumers(bench, TOPIC, given.rounds)
        rebalances(bench, TOPIC)
        partitions(bench, given.rounds)
        clients(bench, TOPIC)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "growth_group.json").write_text(json.dumps(bench.found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
