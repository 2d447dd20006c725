"""``python -m bench.growth``: how cost grows with the rows that are stored already.

The table is filled by PostgreSQL itself. At each size, the consumer stores the same new records into the full table and
into the empty table of a twin server, in turn. The ratio is taken within a round, since a machine's speed changes from
minute to minute. Ids are of two kinds:

- generated: they begin with the time (UUIDv7), so the primary key grows at its end;
- derived: digests of rows, which come anywhere in the primary key.

At the largest size, everything that reads is timed: commands, pages, and each check and sensor of Dagster.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import dagster as dg

from bench import raw
from bench.__main__ import ROWS_A_COMMIT, bench_servers
from bench.processes import ServerPids, find_servers, run_program
from bench.records import Records, records
from bench.soak import service
from rtp_dagster.definitions import defs
from rtp_dagster.platform import Platform
from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.topics import delete_topic, ensure_topic
from rtp_workers.local import ports
from rtp_workers.local.embedded import EmbeddedServers
from rtp_workers.local.postgres_server import PostgresServer
from rtp_workers.postgres.connection import Connection, connect
from rtp_workers.postgres.migrate import migrate

KINDS = ("generated", "derived")
FULL, EMPTY = "full", "empty"
TOPIC = "bench-growth"
FILLED = "filledfilledfilledfill"  # the topic id of the rows that PostgreSQL made
PARTITIONS = 6
ROWS_A_STATEMENT = 500_000
DAYS = 730  # the rows that are there already spread over the time up to now
KEPT = "truncate transactions, ingest_ledger, dead_letters, csv_loads"
IDS = {
    # Of version 7: the first 48 bits are milliseconds, the rest is random.
    "generated": "overlay(overlay(md5(n::text) placing lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') "
    "from 1 for 12) placing '7' from 13 for 1)::uuid::text",
    "derived": "md5(n::text)",
}
FILL = """
insert into transactions (transaction_id, occurred_at, amount, customer_id, merchant, category, currency,
    payment_method, status, country, attributes, source, ingested_at, kafka_partition, kafka_offset, topic_id)
select {id}, at, (n % 99991)::numeric / 100, 'C' || n % 99991, 'Shop ' || n % 331, 'food', 'EUR',
    'card', 'booked', 'DE', jsonb_build_object('device', 'pos-' || n % 1000), 'live', at,
    n % {partitions}, n / {partitions}, '{filled}'
from generate_series({first}, {last}) as n,
    lateral (select timestamptz '{end}' - interval '{days} days' * (1 - n::float8 / {total})) as moment (at)
"""
LEDGER = """
insert into ingest_ledger (topic_id, kafka_partition, topic, group_id, first_offset, next_offset, inserted)
select topic_id, kafka_partition, '{topic}-filled', 'bench-{topic}', 0, count(*), count(*)
from transactions where topic_id = '{filled}' group by 1, 2
"""
START_S = 120.0


@dataclass
class Size:
    """One size of the table.

    Attributes:
        rows: stored before a round began.
        full_per_s, empty_per_s: records a second into the full table and into the empty twin, one a round.
        bytes: of the table and its indexes.
    """

    kind: str
    rows: int
    bytes: int
    full_per_s: list[float] = field(default_factory=list)
    empty_per_s: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(full / empty for full, empty in zip(self.full_per_s, self.empty_per_s, strict=True))

    def __str__(self) -> str:
        pairs = zip(self.full_per_s, self.empty_per_s, strict=True)
        rates = "  ".join(f"{full:,.0f}/{empty:,.0f}" for full, empty in pairs)
        return f"{self.kind:9} {self.rows:>11,} rows, {self.bytes / 1e9:5.1f} GB: {self.ratio:.2f} of empty ({rates})"


@dataclass
class Growth:
    """The servers and new records that every round works on.

    Attributes:
        endpoints: of both twins, by name. They share Kafka.
    """

    endpoints: dict[str, Endpoints]
    servers: ServerPids
    home: Path
    count: int

    @contextmanager
    def owner(self, twin: str = FULL) -> Iterator[Connection]:
        """A connection as the owner, in autocommit mode."""
        connection = connect(self.endpoints[twin].need("postgres_dsn"), "rtp-bench", autocommit=True)
        try:
            yield connection
        finally:
            connection.close()

    def env(self, twin: str, topic: str) -> dict[str, str]:
        """Returns the environment for programs of ours."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RTP_")}
        return {
            **clean,
            "RTP_HOME": str(self.home),
            "RTP_TOPIC": topic,
            "RTP_GROUP_ID": f"bench-{topic}",
            "RTP_KAFKA_BOOTSTRAP": self.endpoints[twin].need("kafka_bootstrap"),
            "RTP_POSTGRES_DSN": self.endpoints[twin].need("postgres_dsn"),
            "RTP_POSTGRES_INGEST_DSN": self.endpoints[twin].need("postgres_ingest_dsn"),
            "RTP_POSTGRES_READ_DSN": self.endpoints[twin].need("postgres_read_dsn"),
        }

    def rate(self, twin: str, made: Records) -> float:
        """Stores these records; returns records a second, from the first offset to the last commit."""
        topic = f"{TOPIC}-{twin}"
        delete_topic(self.endpoints[twin], topic)
        ensure_topic(self.endpoints[twin], topic, partitions=PARTITIONS)
        raw.produce(self.endpoints[twin], topic, made)
        arguments = ["consume", "--no-api", "--until-idle", "1s"]
        run = run_program(arguments, self.env(twin, topic), self.servers, self.home / "consume.log")
        if run.returncode:
            raise RuntimeError(run.output[-2000:])
        events = [json.loads(line) for line in run.output.splitlines() if '"event": "partitions_opened"' in line]
        with self.owner(twin) as connection, connection.cursor() as cursor:
            cursor.execute("select max(updated_at) from ingest_ledger where topic = %s", (topic,))
            ((last,),) = cursor.fetchall()
        return len(made.values) / float((last - datetime.fromisoformat(events[0]["timestamp"])).total_seconds())


def new_records(count: int, kind: str, number: int) -> Records:
    """Returns records whose ids no other call gives: derived ones, or generated ones that are later than all before."""
    made = records(count)
    start_ms = int(time.time() * 1000)
    values = []
    for index, value in enumerate(made.values):
        digest = hashlib.md5(f"{number} {index}".encode(), usedforsecurity=False).hexdigest()
        name = digest if kind == "derived" else _uuid7(start_ms + index // 100, digest)
        values.append(re.sub(rb'"transaction_id":"[^"]*"', b'"transaction_id":"%s"' % name.encode(), value, count=1))
    return Records(made.keys, values)


def _uuid7(at_ms: int, digest: str) -> str:
    text = f"{at_ms:012x}7{digest[:19]}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def fill(growth: Growth, kind: str, first: int, rows: int, total: int) -> int:
    """Fills the table up to `rows`, of `total` in the end; returns its bytes, indexes included."""
    with growth.owner() as connection, connection.cursor() as cursor:
        end = datetime.now().astimezone().isoformat()
        for start in range(first, rows, ROWS_A_STATEMENT):
            last = min(start + ROWS_A_STATEMENT, rows) - 1
            given = {"first": start, "last": last, "total": total, "days": DAYS, "end": end, "filled": FILLED}
            cursor.execute(FILL.format(id=IDS[kind], partitions=PARTITIONS, **given))
        if rows:
            cursor.execute("delete from ingest_ledger where topic_id = %s", (FILLED,))
            cursor.execute(LEDGER.format(topic=TOPIC, filled=FILLED))
        cursor.execute("vacuum (analyze) transactions")
        cursor.execute("select pg_total_relation_size('transactions')")
        ((size,),) = cursor.fetchall()
        return int(size)


def measure_sizes(growth: Growth, kind: str, sizes: list[int], rounds: int) -> list[Size]:
    """Fills the table step by step, and takes the rate at each size."""
    with growth.owner() as connection, connection.cursor() as cursor:
        cursor.execute(KEPT)
    found, filled = [], 0
    for rows in sizes:
        size = Size(kind, rows, fill(growth, kind, filled, rows, max(sizes)))
        filled = rows
        for number in range(rounds):
            made = new_records(growth.count, kind, rows + number)
            size.full_per_s.append(growth.rate(FULL, made))
            with growth.owner(EMPTY) as connection, connection.cursor() as cursor:
                cursor.execute(KEPT)
            size.empty_per_s.append(growth.rate(EMPTY, made))
        print(size, flush=True)
        found.append(size)
    return found


def measure_reads(growth: Growth) -> dict[str, float]:
    """Times everything that reads the table as it is; returns seconds by what was done."""
    topic = f"{TOPIC}-{FULL}"
    env = growth.env(FULL, topic)
    found: dict[str, float] = {}

    def timed(what: str, does: Callable[[], object]) -> None:
        started = time.perf_counter()
        does()
        found[what] = time.perf_counter() - started
        print(f"{what:40} {found[what]:8.2f} s", flush=True)

    def command(*arguments: str) -> None:
        run = run_program(list(arguments), env, growth.servers, growth.home / "read.log")
        if run.returncode not in (0, 1):
            raise RuntimeError(run.output[-2000:])

    with service("consume", ["consume"], env, growth.home) as (_, url):
        for path in ("/status", "/transactions?limit=50", "/metrics", "/history", "/health/ready"):
            timed(f"GET {path}", lambda path=path: urllib.request.urlopen(url + path, timeout=60).read())  # type: ignore[misc] # mypy cannot infer a lambda with a default
        timed("rtp status", lambda: command("status", "--json"))
        timed("rtp verify", lambda: command("verify", "--json", "--timeout", "300s"))
        with patch.dict(os.environ, env, clear=True):
            _read_as_dagster(timed)
    day = f"{(datetime.now().astimezone()).year - 2}-12-31"
    timed(f"rtp purge --before {day}", lambda: command("purge", "--before", day, "--yes", "--json"))
    return found


def _read_as_dagster(timed: Callable[[str, Callable[[], object]], None]) -> None:
    loaded = defs()
    repository = loaded.get_repository_def()
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance:
        for sensor in repository.sensor_defs:
            if isinstance(sensor, dg.AutomationConditionSensorDefinition):
                continue  # Dagster's own; only its daemon can evaluate it
            context = dg.build_sensor_context(
                instance=instance, sensor_name=sensor.name, resources={"platform": Platform()}, definitions=loaded
            )
            timed(f"tick of {sensor.name}", lambda sensor=sensor, context=context: sensor.evaluate_tick(context))  # type: ignore[misc] # as above
        job = loaded.resolve_job_def("check_transactions")
        timed("job check_transactions", lambda: job.execute_in_process(raise_on_error=False, instance=instance))


@contextmanager
def twin_of(endpoints: Endpoints, home: Path) -> Iterator[Endpoints]:
    """Boots a second PostgreSQL; yields its addresses, and those of the same Kafka."""
    folder = home / "twin"
    folder.mkdir(mode=0o755)
    pair = EmbeddedServers(None, PostgresServer(folder, ports.free_port()))
    try:
        pair.start()
        migrate(pair.endpoints().need("postgres_dsn"))
        yield replace(pair.endpoints(), kafka_bootstrap=endpoints.kafka_bootstrap)
    finally:
        pair.stop()


def main() -> int:
    """Prints a line a size and a line a read, and writes them as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 10_000_000, 50_000_000], help="rows")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--records", type=int, default=300_000, help="new records of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-reads", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    sizes: list[Size] = []
    reads: dict[str, float] = {}
    with bench_servers() as (endpoints, home), twin_of(endpoints, home) as empty:
        growth = Growth({FULL: endpoints, EMPTY: empty}, find_servers(), home, given.records)
        for kind in given.kinds:
            sizes += measure_sizes(growth, kind, given.sizes, given.rounds)
            if kind == KINDS[0] and not given.no_reads:
                reads = measure_reads(growth)
    given.out.mkdir(parents=True, exist_ok=True)
    report = {
        "sizes": [{**asdict(size), "ratio": size.ratio} for size in sizes],
        "reads_s": reads,
        "rows_a_commit": ROWS_A_COMMIT,
    }
    (given.out / "growth.json").write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
