"""``python -m bench.growth``: how cost grows with the rows that are stored already.

For each kind of ids and each size, the table is filled (see `bench.growth_fill`). Then the consumer stores the same new
records into the full table and into the empty table of a twin server, in turn. The ratio is taken within a round, since
a machine's speed changes from minute to minute. With generated ids, everything that reads the table is timed, too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

import psutil

from bench import raw
from bench.__main__ import bench_servers
from bench.growth_fill import EMPTY as EMPTIED
from bench.growth_fill import KINDS, SETTINGS, Kind, fill, table_bytes
from bench.growth_reads import measure_purge, measure_reads
from bench.processes import ServerPids, find_servers, run_program
from bench.records import Records, records
from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.topics import delete_topic, ensure_topic
from rtp_workers.local import ports
from rtp_workers.local.embedded import EmbeddedServers
from rtp_workers.local.postgres_server import PostgresServer
from rtp_workers.postgres.connection import Connection, connect
from rtp_workers.postgres.migrate import migrate

FULL, EMPTY = "full", "empty"
TOPIC = "bench-growth"
_OCCURRED_ON = re.compile(rb'"occurred_at":"([0-9]{4})-([0-9]{2})-([0-9]{2})')


@dataclass(frozen=True)
class Rate:
    """One run of the consumer: records a second, bytes of write-ahead log a record, CPU time a record by process.

    The CPU time of PostgreSQL is known only for the full table.
    """

    per_s: float
    wal_bytes: float
    cpu_us: dict[str, float]


@dataclass
class Size:
    """One size of the table.

    Attributes:
        rows: stored before the first round.
        bytes: of the table and its indexes.
        fill_s: how long it took to fill it.
        full, empty: the rates into the full table and into the empty twin, one a round.
        idle_percent: the machine's idle share while nothing of ours worked, before the first round.
    """

    kind: Kind
    rows: int
    bytes: int
    fill_s: float
    idle_percent: float
    full: list[Rate] = field(default_factory=list)
    empty: list[Rate] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(full.per_s / empty.per_s for full, empty in zip(self.full, self.empty, strict=True))

    def __str__(self) -> str:
        rates = "  ".join(f"{a.per_s:,.0f}/{b.per_s:,.0f}" for a, b in zip(self.full, self.empty, strict=True))
        wal = [statistics.median(rate.wal_bytes for rate in rates) for rates in (self.full, self.empty)]
        return (
            f"{self.kind:9} {self.rows:>11,} rows, {self.bytes / 1e9:5.1f} GB, filled in {self.fill_s:.0f} s: "
            f"{self.ratio:.2f} of empty ({rates}); log bytes a record {wal[0]:,.0f}/{wal[1]:,.0f}; "
            f"idle before {self.idle_percent:.0f}%; CPU us a record {self.full[-1].cpu_us}"
        )


@dataclass
class Growth:
    """The servers that every round works on.

    Attributes:
        endpoints: of both twins, by name. They share Kafka.
        count: new records of a round.
    """

    endpoints: dict[str, Endpoints]
    servers: ServerPids
    home: Path
    count: int

    @contextmanager
    def owner(self, twin: str) -> Iterator[Connection]:
        """A connection as the owner, in autocommit mode."""
        with closing(connect(self.endpoints[twin].need("postgres_dsn"), "rtp-bench", autocommit=True)) as connection:
            yield connection

    def env(self, twin: str) -> dict[str, str]:
        """Returns the environment for programs of ours."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RTP_")}
        names = (
            "kafka_bootstrap", "postgres_dsn", "postgres_ingest_dsn", "postgres_read_dsn", "postgres_insights_dsn",
            "dagster_postgres_dsn",
        )  # fmt: skip
        known = {f"RTP_{name.upper()}": self.endpoints[twin].need(name) for name in names}
        topic = f"{TOPIC}-{twin}"
        return {**clean, **known, "RTP_HOME": str(self.home), "RTP_TOPIC": topic, "RTP_GROUP_ID": f"bench-{topic}"}

    def rate(self, twin: str, made: Records) -> Rate:
        """Stores these records; the time is that from the first offset to the last commit."""
        topic = f"{TOPIC}-{twin}"
        delete_topic(self.endpoints[twin], topic)
        ensure_topic(self.endpoints[twin], topic)
        raw.produce(self.endpoints[twin], topic, made)
        arguments = ["consume", "--no-api", "--until-idle", "1s"]
        wal = self._number(twin, "select wal_bytes from pg_stat_wal")
        run = run_program(arguments, self.env(twin), self.servers, self.home / "consume.log")
        if run.returncode:
            raise RuntimeError(run.output[-2000:])
        opened = next(json.loads(line) for line in run.output.splitlines() if '"event": "partitions_opened"' in line)
        last = self._number(twin, "select extract(epoch from max(updated_at)) from ingest_ledger")
        used = self._number(twin, "select wal_bytes from pg_stat_wal") - wal
        seconds = last - datetime.fromisoformat(opened["timestamp"]).timestamp()
        count = len(made.values)
        cpu_us = {
            name: round(cpu_s / count * 1e6, 1) for name, cpu_s in {"consumer": run.cpu_s, **run.server_cpu_s}.items()
        }
        return Rate(count / seconds, used / count, cpu_us)

    def _number(self, twin: str, sql: str) -> float:
        with self.owner(twin) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return float(cursor.fetchall()[0][0])


def new_records(count: int, kind: Kind, number: int) -> Records:
    """Returns records whose ids no other call gives; generated ones are later than all before."""
    made = records(count)
    start_ms = int(time.time() * 1000)
    values = []
    for index, value in enumerate(made.values):
        digest = hashlib.md5(f"{number} {index}".encode(), usedforsecurity=False).hexdigest()
        if kind == "generated":
            name = _uuid7(start_ms + index // 100, digest)
        else:
            name = digest if kind == "digest" else _day(value) + digest[:24]
        values.append(re.sub(rb'"transaction_id":"[^"]*"', b'"transaction_id":"%s"' % name.encode(), value, count=1))
    return Records(made.keys, values)


def _day(value: bytes) -> str:
    found = _OCCURRED_ON.search(value)
    assert found is not None
    return b"".join(found.groups()).decode()


def _uuid7(at_ms: int, digest: str) -> str:
    text = f"{at_ms:012x}7{digest[:19]}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def measure_size(growth: Growth, kind: Kind, rows: int, rounds: int) -> Size:
    """Fills the table, and takes the rates."""
    fill_s = fill(growth.endpoints[FULL].need("postgres_dsn"), kind, rows, TOPIC)
    with growth.owner(FULL) as connection:
        size = Size(kind, rows, table_bytes(connection), fill_s, psutil.cpu_times_percent(3).idle)
    for number in range(rounds):
        made = new_records(growth.count, kind, rows + number)
        size.full.append(growth.rate(FULL, made))
        with growth.owner(EMPTY) as connection, connection.cursor() as cursor:
            cursor.execute(EMPTIED)
        size.empty.append(growth.rate(EMPTY, made))
    print(size, flush=True)
    return size


@contextmanager
def twin_of(endpoints: Endpoints, home: Path) -> Iterator[Endpoints]:
    """Boots a second PostgreSQL; yields its addresses, and those of the same Kafka."""
    folder = home / "twin"
    folder.mkdir(mode=0o755)
    pair = EmbeddedServers(None, PostgresServer(folder, ports.free_port(), SETTINGS))
    try:
        pair.start()
        migrate(pair.endpoints().need("postgres_dsn"))
        yield replace(pair.endpoints(), kafka_bootstrap=endpoints.kafka_bootstrap)
    finally:
        pair.stop()


def main() -> int:
    """Prints a line a size and a line a read, and writes them as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000_000, 50_000_000], help="rows")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--records", type=int, default=300_000, help="new records of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    report: dict[str, list[object]] = {"sizes": [], "reads_s": []}
    given.out.mkdir(parents=True, exist_ok=True)
    with bench_servers(SETTINGS) as (endpoints, home), twin_of(endpoints, home) as empty:
        growth = Growth({FULL: endpoints, EMPTY: empty}, find_servers(), home, given.records)
        for kind in given.kinds:
            for rows in given.sizes:
                size = measure_size(growth, kind, rows, given.rounds)
                report["sizes"].append({**asdict(size), "ratio": size.ratio})
                if kind == KINDS[0]:
                    env = growth.env(FULL)
                    found = {**measure_reads(env, home, growth.servers), **measure_purge(env, growth.servers)}
                    report["reads_s"].append({"rows": rows, **found})
                (given.out / "growth.json").write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
