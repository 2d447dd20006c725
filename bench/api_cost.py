"""What a thousand HTTP clients cost the stream: the same records with and without them, in interleaved pairs.

The clients run on the same machine and take processor time of their own: theirs is shown, too, since on a machine of
two cores it is most of the cost.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import raw
from bench.__main__ import EMPTY, bench_servers
from bench.processes import ServerPids, find_servers
from bench.records import Records, records
from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.topics import delete_topic, ensure_topic
from rtp_workers.local import ports
from rtp_workers.postgres import control
from rtp_workers.postgres.connection import Connection, connect

TOPIC = "bench-api"
MOST_COST = 0.15
START_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Outcome:
    """One run: records per second, and CPU seconds by process."""

    per_s: float
    cpu_s: dict[str, float]

    def __str__(self) -> str:
        used = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.cpu_s.items())
        return f"{self.per_s:>9,.0f}/s   CPU s: {used}"


@dataclass(frozen=True)
class Bench:
    """The servers and records that every run works on."""

    endpoints: Endpoints
    servers: ServerPids
    owner: Connection
    home: Path
    records: Records

    def run(self, *, with_clients: bool) -> Outcome:
        """Stores all records once, from the moment that the pause ends; clients are connected by then."""
        with self.owner.cursor() as cursor:
            cursor.execute(EMPTY)
        control.set_pause(self.owner, paused=True, reason="until the clients are there")
        port = ports.free_port()
        with self._consumer(port) as consumer, _clients(port) if with_clients else nullcontext() as clients:
            watched = {"consumer": psutil.Process(consumer.pid)}
            if clients is not None:
                watched["clients"] = psutil.Process(clients.pid)
            before = self._cpu_s(watched)
            started = time.perf_counter()
            control.set_pause(self.owner, paused=False)
            self._await(lambda: self._stored() == len(self.records.values))
            seconds = time.perf_counter() - started
            used = {name: after - before[name] for name, after in self._cpu_s(watched).items()}
        return Outcome(len(self.records.values) / seconds, used)

    @contextmanager
    def _consumer(self, port: int) -> Iterator[subprocess.Popen[bytes]]:
        env = {
            "RTP_HOME": str(self.home),
            "RTP_TOPIC": TOPIC,
            "RTP_KAFKA_BOOTSTRAP": self.endpoints.need("kafka_bootstrap"),
            "RTP_POSTGRES_INGEST_DSN": self.endpoints.need("postgres_ingest_dsn"),
        }
        command = [sys.executable, "-m", "rtp_workers.cli.main", "consume", "--port", str(port)]
        with (self.home / "consume.log").open("wb") as log:
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
            try:
                self._await(lambda: self._ledger_rows() == 6)
                yield process
            finally:
                process.terminate()
                process.wait(30)

    def _cpu_s(self, watched: dict[str, psutil.Process]) -> dict[str, float]:
        ours = {name: sum(process.cpu_times()[:2]) for name, process in watched.items()}
        return {**ours, **self.servers.cpu_s()}

    def _ledger_rows(self) -> int:
        return self._number("select count(*) from ingest_ledger")

    def _stored(self) -> int:
        return self._number("select coalesce(sum(inserted), 0) from ingest_ledger")

    def _number(self, sql: str) -> int:
        with self.owner.cursor() as cursor:
            cursor.execute(sql)
            return int(cursor.fetchall()[0][0])

    def _await(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError((self.home / "consume.log").read_text()[-2_000:])
            time.sleep(0.02)


@contextmanager
def _clients(port: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "bench.api_clients", ports.LOOPBACK, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError("the clients did not get their connections")
        yield process
    finally:
        process.kill()
        process.communicate()


def main() -> int:
    """Prints a line a run and the median cost; exit 1 where it is too much."""
    parser = argparse.ArgumentParser(prog="python -m bench.api_cost", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=5)
    given = parser.parse_args()
    costs = []
    with bench_servers() as (endpoints, home):
        owner = connect(endpoints.need("postgres_dsn"), "rtp-bench", autocommit=True)
        bench = Bench(endpoints, find_servers(), owner, home, records(given.records))
        ensure_topic(endpoints, TOPIC)
        raw.produce(endpoints, TOPIC, bench.records)
        for number in range(given.pairs):
            # Alternating which comes first keeps a machine that slows down from favouring one.
            order = (False, True) if number % 2 == 0 else (True, False)
            outcomes = {with_clients: bench.run(with_clients=with_clients) for with_clients in order}
            costs.append(1 - outcomes[True].per_s / outcomes[False].per_s)
            print(f"quiet         {outcomes[False]}", f"1,000 clients {outcomes[True]}", sep="\n", flush=True)
        delete_topic(endpoints, TOPIC)
        owner.close()
    print(f"median cost: {statistics.median(costs):.1%} of throughput (at most {MOST_COST:.0%})")
    return 0 if statistics.median(costs) <= MOST_COST else 1


if __name__ == "__main__":
    sys.exit(main())
