"""``make bench``: the whole path, measured in one run next to what the bare clients do.

Rounds are interleaved: every round measures every figure, and ratios are taken within a round, since the machine's
speed changes from minute to minute.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import psutil
from rich.console import Console

from bench import foreign_topics, latency, overlap_cost, raw
from bench.processes import ProgramRun, ServerPids, find_servers, run_program
from bench.records import Records, records, write_csv
from bench.report import Figure, Report, show, write
from rtp_workers.endpoints import Endpoints
from rtp_workers.kafka.topics import delete_topic, ensure_topic
from rtp_workers.local import ports
from rtp_workers.local.embedded import EmbeddedServers
from rtp_workers.local.kafka_server import KafkaServer
from rtp_workers.local.postgres_server import PostgresServer
from rtp_workers.postgres.connection import Connection, connect
from rtp_workers.postgres.migrate import migrate
from rtp_workers.settings import ConsumerSettings

RAW_COPY, RAW_PRODUCE, RAW_CONSUME = "raw COPY", "raw produce", "raw consume"
CONSUMER, DUPLICATES, LOADER = "Kafka → PostgreSQL", "all duplicates", "CSV → Kafka"
ONE_PERCENT = "1% duplicates"
MAPPED_JSON, MAPPED_AVRO = "mapped JSON → PostgreSQL", "mapped Avro → PostgreSQL"
LATENCY_RECORDS = 15_000
# A broker whose code is not compiled yet answers in seconds: the first half minute at this rate is not measured.
WARM_RECORDS = 30_000
REST_S = 3.0  # how long the machine is watched while nothing of ours works
OVERLAP_RECORDS = 300_000
EMPTY = "truncate transactions, ingest_ledger, dead_letters, csv_loads"
ROWS_A_COMMIT = ConsumerSettings.model_fields["consumer_batch_rows"].default


@dataclass
class Run:
    """The servers and records that one run works on.

    Attributes:
        foreign: by figure, the same records as somebody else's topic has them.
        registry_url: where the schema of the Avro records is.
    """

    endpoints: Endpoints
    servers: ServerPids
    owner: Connection
    home: Path
    records: Records
    report: Report
    foreign: dict[str, Records]
    registry_url: str

    def empty(self) -> None:
        """Empties every table."""
        with self.owner.cursor() as cursor:
            cursor.execute(EMPTY)
        self.owner.commit()

    def fresh_topic(self, topic: str) -> None:
        """Makes the topic, empty."""
        delete_topic(self.endpoints, topic)
        ensure_topic(self.endpoints, topic)

    def env(self, topic: str) -> dict[str, str]:
        """Returns the environment for programs of ours."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RTP_")}
        return {
            **clean,
            "RTP_HOME": str(self.home),
            "RTP_TOPIC": topic,
            "RTP_GROUP_ID": f"bench-{topic}",
            "RTP_KAFKA_BOOTSTRAP": self.endpoints.need("kafka_bootstrap"),
            "RTP_POSTGRES_INGEST_DSN": self.endpoints.need("postgres_ingest_dsn"),
        }

    def consume(self, topic: str) -> tuple[float, ProgramRun]:
        """Runs the consumer until it has caught up; returns its seconds from the first offset to the last commit."""
        return self._consume(topic, self.env(topic), "1s")

    def consume_mapped(self, topic: str) -> tuple[float, ProgramRun]:
        """Does the same with somebody else's topic, next to an empty one of ours."""
        own = f"{topic}-own"
        self.fresh_topic(own)
        sections = self.home / "sources.toml"
        sections.write_text(foreign_topics.SECTION)
        mapped = {
            "RTP_TOPICS": topic, "RTP_SOURCES_FILE": str(sections), "RTP_SCHEMA_REGISTRY_URL": self.registry_url,
        }  # fmt: skip
        try:
            return self._consume(topic, {**self.env(own), **mapped}, "5s")
        finally:
            delete_topic(self.endpoints, own)

    def _consume(self, topic: str, env: dict[str, str], idle: str) -> tuple[float, ProgramRun]:
        arguments = ["consume", "--no-api", "--until-idle", idle]
        run = run_program(arguments, env, self.servers, self.home / "consume.log")
        if run.returncode:
            raise RuntimeError(run.output[-2000:])
        events = [json.loads(line) for line in run.output.splitlines() if '"event": "partitions_opened"' in line]
        opened = next(event for event in events if event["topic"] == topic)
        with self.owner.cursor() as cursor:
            cursor.execute("select max(updated_at) from ingest_ledger")
            row = cursor.fetchone()
        self.owner.commit()
        if row is None or row[0] is None:
            raise RuntimeError("the consumer has written nothing")
        return (row[0] - datetime.fromisoformat(opened["timestamp"])).total_seconds(), run


@contextmanager
def bench_servers(settings: Mapping[str, str] | None = None) -> Iterator[tuple[Endpoints, Path]]:
    """Boots servers with their production settings, and these of PostgreSQL as well, in a temporary home."""
    home = Path(tempfile.gettempdir()) / f"rtp-bench-{os.getpid()}"
    home.mkdir(mode=0o755)
    postgres = PostgresServer(home, ports.free_port(), settings or {})
    pair = EmbeddedServers(KafkaServer(home, ports.free_port()), postgres)
    try:
        pair.start()
        endpoints = pair.endpoints()
        migrate(endpoints.need("postgres_dsn"))
        yield endpoints, home
    finally:
        pair.stop()
        shutil.rmtree(home)


def main() -> int:
    """Measures, prints the table, writes JSON and chart; exit 1 where a figure is below what it must reach."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    console = Console()
    with bench_servers() as (endpoints, home), foreign_topics.registry() as registry_url:
        report = Report(given.records, given.rounds, _figures())
        owner = connect(endpoints.need("postgres_dsn"), "rtp-bench")
        made = records(given.records)
        foreign = {MAPPED_JSON: foreign_topics.json_records(made), MAPPED_AVRO: foreign_topics.avro_records(made)}
        run = Run(endpoints, find_servers(), owner, home, made, report, foreign, registry_url)
        csv_file = home / "bench.csv"
        write_csv(csv_file, run.records)
        report.idle_percent["before the first round"] = psutil.cpu_times_percent(REST_S).idle
        for number in range(given.rounds):
            console.print(f"round {number + 1} of {given.rounds}")
            _round(run, f"bench-{number}", csv_file)
        report.latency_ms = _latency(run)
        owner.close()
        cost = overlap_cost.measure(endpoints, home, min(given.records, OVERLAP_RECORDS), "account")
        report.overlap = asdict(cost)
        console.print(f"overlap checks of a file without ids, {cost}")
    show(report, console)
    write(report, given.out)
    console.print(f"written to {given.out}")
    return 1 if _too_slow(report) or cost.share > overlap_cost.AT_MOST else 0


def _figures() -> list[Figure]:
    return [
        Figure(RAW_COPY),
        Figure(CONSUMER, beside=RAW_COPY, at_least=0.50),
        Figure(ONE_PERCENT, beside=CONSUMER, at_least=0.50),
        Figure(MAPPED_JSON, beside=CONSUMER, at_least=0.50),
        Figure(MAPPED_AVRO, beside=CONSUMER, at_least=0.40),
        Figure(DUPLICATES, beside=RAW_COPY, at_least=0.35),
        Figure(RAW_PRODUCE),
        Figure(LOADER, beside=RAW_PRODUCE, at_least=0.45),
        Figure(RAW_CONSUME),
    ]


def _too_slow(report: Report) -> bool:
    ratios = [(figure, report.ratio(figure)) for figure in report.figures]
    return any(ratio is not None and ratio < (figure.at_least or 0) for figure, ratio in ratios)


def _round(run: Run, topic: str, csv_file: Path) -> None:
    count = len(run.records.values)
    payloads = raw.copy_payloads(run.records, ROWS_A_COMMIT)
    run.empty()
    before = run.servers.cpu_s()
    _note(run, RAW_COPY, raw.copy(run.owner, payloads), count, _since(run, before))
    del payloads
    run.fresh_topic(topic)
    before = run.servers.cpu_s()
    _note(run, RAW_PRODUCE, raw.produce(run.endpoints, topic, run.records), count, _since(run, before))
    _note(run, RAW_CONSUME, raw.consume(run.endpoints, topic, count), count, {})
    for number, name in enumerate(run.foreign):
        _mapped(run, name, f"{topic}-foreign-{number}")
    run.empty()
    _note_program(run, CONSUMER, *run.consume(topic), count, "consumer")
    raw.produce(run.endpoints, topic, run.records)
    _note_program(run, DUPLICATES, *run.consume(topic), count, "consumer")
    _one_percent(run, f"{topic}-repeats", count)
    run.empty()
    run.fresh_topic(topic)
    loaded = run_program(["load", str(csv_file), "--json"], run.env(topic), run.servers, run.home / "load.log")
    if loaded.returncode:
        raise RuntimeError(loaded.output[-2000:])
    answer = json.loads(loaded.output[loaded.output.index('{"files"') :])
    _note_program(run, LOADER, answer["files"][0]["seconds"], loaded, count, "loader")
    delete_topic(run.endpoints, topic)


def _mapped(run: Run, name: str, topic: str) -> None:
    made = run.foreign[name]
    run.empty()
    run.fresh_topic(topic)
    raw.produce(run.endpoints, topic, made)
    seconds, program = run.consume_mapped(topic)
    with run.owner.cursor() as cursor:
        cursor.execute("select count(*) from transactions")
        found = cursor.fetchone()
    run.owner.commit()
    if found != (len(made.values),):
        raise RuntimeError(f"{name}: {found} rows of {len(made.values)} records")
    _note_program(run, name, seconds, program, len(made.values), "consumer")
    delete_topic(run.endpoints, topic)


def _one_percent(run: Run, topic: str, count: int) -> None:
    """One record in a hundred comes twice, the second time right behind the first batch it was in."""
    repeated = Records([], [])
    for start in range(0, count, 100):
        for target, source in ((repeated.keys, run.records.keys), (repeated.values, run.records.values)):
            target.extend(source[start : start + 100])
            target.append(source[start])
    run.empty()
    run.fresh_topic(topic)
    raw.produce(run.endpoints, topic, repeated)
    _note_program(run, ONE_PERCENT, *run.consume(topic), len(repeated.values), "consumer")
    delete_topic(run.endpoints, topic)


def _note(run: Run, name: str, seconds: float, count: int, cpu_s: dict[str, float]) -> None:
    figure = run.report.figure(name)
    figure.per_s.append(count / seconds)
    figure.cpu_s_per_million = {process: used / count * 1e6 for process, used in cpu_s.items()}


def _note_program(run: Run, name: str, seconds: float, program: ProgramRun, count: int, process: str) -> None:
    _note(run, name, seconds, count, {**program.server_cpu_s, process: program.cpu_s})
    figure = run.report.figure(name)
    figure.peak_mb = max(figure.peak_mb, program.peak_mb)


def _since(run: Run, before: dict[str, float]) -> dict[str, float]:
    return {name: after - before[name] for name, after in run.servers.cpu_s().items()}


def _latency(run: Run) -> dict[str, float]:
    run.empty()
    run.fresh_topic("bench-latency")
    made = records(WARM_RECORDS + LATENCY_RECORDS)
    consumer = subprocess.Popen(
        [sys.executable, "-m", "rtp_workers.cli.main", "consume", "--no-api"],
        env=run.env("bench-latency"),
        stdout=subprocess.DEVNULL,
    )
    try:
        warm = Records(made.keys[:WARM_RECORDS], made.values[:WARM_RECORDS])
        latency.measure(run.endpoints, "bench-latency", warm)
        psutil.cpu_times_percent()
        rest = Records(made.keys[WARM_RECORDS:], made.values[WARM_RECORDS:])
        found = latency.measure(run.endpoints, "bench-latency", rest)
        run.report.idle_percent["while latency was measured"] = psutil.cpu_times_percent().idle
        return found
    finally:
        consumer.terminate()
        consumer.wait(30)


if __name__ == "__main__":
    sys.exit(main())
