"""``rtp demo``: the main job from start to end - a backfill of data/, then live records - and the reconciliation."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from rtp_workers import logs
from rtp_workers.batch.folder import list_folder
from rtp_workers.cli.demo_report import Batch, Live, Outcome, show
from rtp_workers.cli.durations import DURATION_S
from rtp_workers.cli.terminal import console
from rtp_workers.cli.up import interruptible
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError
from rtp_workers.local import kafka_jars, ports
from rtp_workers.local.bring_up import servers_for, servers_running
from rtp_workers.local.dagster_home import write_dagster_home
from rtp_workers.local.job_run import dagster_job, run_to_end
from rtp_workers.local.own_exports import forget_ours
from rtp_workers.local.parts import ProgramPart, rtp
from rtp_workers.local.sample_data import offer_sample
from rtp_workers.object_address import ObjectAddress
from rtp_workers.postgres import csv_loads
from rtp_workers.postgres.account import read_account
from rtp_workers.postgres.by_source import server_time, totals_by_source
from rtp_workers.postgres.connection import Connection, connect
from rtp_workers.postgres.recent import rows_per_s
from rtp_workers.producer.service import Outcome as Produced
from rtp_workers.reconcile.verify import verify
from rtp_workers.settings import PlatformSettings, load

JOB = "batch_backfill"
LEDGER_TIMEOUT_S = 120.0
COMPRESSED = (".gz", ".zst")
# A little of what real feeds do, to show that duplicates and dead letters are counted.
CHAOS = ("--duplicate", "0.01", "--late", "0.01", "--corrupt", "0.001")

Look = Callable[[], None]


@click.command("demo")
@click.option(
    "--live-for", type=DURATION_S, default="10s", show_default=True, help="How long to stream; 0 streams nothing."
)
@click.option("--rate", type=click.IntRange(min=1), default=1_000, show_default=True, help="Live records per second.")
def command(live_for: float, rate: int) -> int:
    """Backfill data/ as a Dagster job, stream live records, reconcile both. Exit 0 only if everything agrees.

    If there is no folder data, the demo creates one with sample transactions.
    """
    forget_ours(os.environ)
    settings = load(PlatformSettings)
    settings = load(PlatformSettings, **free_ports(settings))
    logs.configure("stderr", settings.log_level, settings.log_format)
    screen = console(highlight=False)
    if offer_sample(settings):
        screen.print(
            f"made {settings.data_dir} with sample transactions, since there was no such folder", soft_wrap=True
        )
    files = csv_files(settings.data_dir)
    download = (
        "" if kafka_jars.cache_folder().exists() else "; the first start downloads Kafka (43 MB) and records its start"
    )
    screen.print(f"starting Kafka and PostgreSQL in {settings.home}{download}", soft_wrap=True)
    started = time.monotonic()
    servers = servers_for(settings, ("kafka", "postgres"))
    with interruptible() as asked, servers_running(settings, servers) as endpoints:
        screen.print(f"  up after {time.monotonic() - started:.1f} s")
        outcome = run_demo(Demo(settings, endpoints, screen, asked), files, live_for, rate)
    show(screen, settings, outcome)
    return 0 if outcome.ok else 1


def free_ports(settings: PlatformSettings) -> dict[str, int]:
    """Returns a free port for each server whose port is not set, so that the demo can run next to anything."""
    return {
        name: ports.free_port() for name in ("kafka_port", "postgres_port") if name not in settings.model_fields_set
    }


def csv_files(folder: Path | ObjectAddress) -> list[Path]:
    """Returns the CSV files of the folder in order of name.

    Raises:
        ConfigError: there is no such folder, or it has no file that can be loaded.
    """
    if not isinstance(folder, Path):
        raise ConfigError(f"the demo loads a folder of this machine, and RTP_DATA_DIR is {folder}; leave it out")
    found = [file.path for file in list_folder(folder).files if isinstance(file.path, Path)]
    if not found:
        raise ConfigError(f"no CSV file in {folder}; put one there, or set RTP_DATA_DIR to a folder that has some")
    return found


class Demo:
    """What every phase works with: the running platform, a connection that looks on, and the terminal."""

    def __init__(
        self, settings: PlatformSettings, endpoints: Endpoints, console: Console, asked: Callable[[], bool]
    ) -> None:
        """Connects.

        Args:
            settings: with the demo's own ports.
            endpoints: of the running servers.
            console: the terminal of a person.
            asked: tells whether somebody wants it to stop.
        """
        self.settings = settings
        self.endpoints = endpoints
        self.console = console
        self.asked = asked
        self.consumer = ProgramPart("consumer", rtp("consume", "--no-api"), settings.home)
        self.reader: Connection = connect(endpoints.need("postgres_read_dsn"), "rtp-demo", autocommit=True)

    @contextmanager
    def bar(self, total: float, text: Callable[[], tuple[float, str]]) -> Iterator[Look]:
        """Shows progress to a person while something runs. Yields what moves it, and ends it when asked.

        Args:
            total: the value at which the bar is full.
            text: returns how far it is, and a few words.
        """
        if not self.console.is_terminal:
            yield self.stop_where_asked
            return
        columns = (TextColumn(" "), BarColumn(30), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task("", total=total)

            def look() -> None:
                self.stop_where_asked()
                done, words = text()
                progress.update(task, completed=done, description=words)

            yield look

    def stop_where_asked(self) -> None:
        """Raises KeyboardInterrupt if somebody wants it to end and the first interrupt was lost."""
        if self.asked():
            raise KeyboardInterrupt


def run_demo(demo: Demo, files: list[Path], live_for_s: float, rate_per_s: int) -> Outcome:
    """Backfills, streams and reconciles while a consumer writes.

    Raises:
        FatalError: the consumer has ended. TransientError: a server is away.
    """
    demo.consumer.prepare()
    demo.consumer.start()
    try:
        batch = backfill(demo, files)
        live = stream(demo, live_for_s, rate_per_s) if live_for_s else None
        demo.console.print("reconciling Kafka, ledger and tables")
        found = verify(demo.endpoints, demo.settings.topic, LEDGER_TIMEOUT_S)
        return Outcome(batch, live, found, totals_by_source(demo.reader, batch.started_at))
    finally:
        demo.reader.close()
        demo.consumer.stop()


def backfill(demo: Demo, files: list[Path]) -> Batch:
    """Runs the Dagster job that loads the data folder, waits for the rows, and checks them."""
    names = {path.name: path for path in files}
    size = f"{sum(path.stat().st_size for path in files) / 1e6:.1f} MB"
    demo.console.print(f"loading {len(files)} CSV files ({size}) as the Dagster job {JOB}")
    job = dagster_job(demo.settings.home, write_dagster_home(demo.settings.home, demo.endpoints), JOB)
    since, started = server_time(demo.reader), time.monotonic()

    def progress() -> tuple[float, str]:
        loads = [found for found in csv_loads.recent(demo.reader, 1000) if found.file_name in names]
        written, sent = read_account(demo.reader).stored_rows, sum(found.progress.acknowledged for found in loads)
        return sum(map(share_read, loads)), f"{sent:,} in Kafka, {written:,} in PostgreSQL"

    with demo.bar(len(files), progress) as look:
        code, _ = run_to_end(job, demo.consumer, look)
    mine = [found for found in csv_loads.recent(demo.reader, 1000) if found.updated_at >= since]
    return Batch(code, job.program.log, since, time.monotonic() - started, mine)


def share_read(found: csv_loads.CsvLoad) -> float:
    """Returns how much of a file is read, 0 to 1. For a compressed one this is known only at its end."""
    if found.state == "loaded":
        return 1.0
    if not found.size_bytes or found.file_name.endswith(COMPRESSED):
        return 0.0
    return min(found.progress.byte_offset / found.size_bytes, 1.0)


def stream(demo: Demo, live_for_s: float, rate_per_s: int) -> Live:
    """Streams live records for about this long."""
    count = max(1, round(live_for_s * rate_per_s))
    demo.console.print(f"streaming live for {live_for_s:g} s, {rate_per_s:,} records/s")
    arguments = ("--count", str(count), "--rate", str(rate_per_s), *CHAOS, "--json")
    before, since = read_account(demo.reader).stored_rows, server_time(demo.reader)

    def progress() -> tuple[float, str]:
        rows = read_account(demo.reader).stored_rows - before
        return rows, f"{rows:,} rows, {rows_per_s(demo.reader):,.0f}/s"

    producer = ProgramPart("producer", rtp("produce", *arguments), demo.settings.home)
    with demo.bar(count, progress) as look:
        code, said = run_to_end(producer, demo.consumer, look)
    return Live(code, producer.program.log, since, own_account(said))


def own_account(said: bytes) -> Produced | None:
    """Returns the producer's counts, from the last line of its output; None if there are none."""
    try:
        return msgspec.json.decode(said.splitlines()[-1], type=Produced)
    except (IndexError, msgspec.MsgspecError):
        return None
