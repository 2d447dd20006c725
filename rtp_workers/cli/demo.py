"""``rtp demo``: the main job from start to end on data/, then the reconciliation."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from rtp_workers import logs
from rtp_workers.cli.up import interruptible
from rtp_workers.cli.verify import reconciliation_table
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError
from rtp_workers.local import ports
from rtp_workers.local.bring_up import servers_for, servers_running
from rtp_workers.local.parts import ProgramPart, rtp
from rtp_workers.postgres.connection import connect, translated
from rtp_workers.reconcile.verify import Verification, verify
from rtp_workers.settings import PlatformSettings, load

SUFFIXES = (".csv", ".csv.gz", ".csv.zst")
LEDGER_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo did.

    Attributes:
        load_code: exit code of ``rtp load``.
        found: the reconciliation.
        load_s: seconds until Kafka had acknowledged everything.
        total_s: seconds until the ledger had reached the end.
        amount: sum(amount) of all rows.
    """

    load_code: int
    found: Verification
    load_s: float
    total_s: float
    amount: Decimal

    @property
    def ok(self) -> bool:
        """Whether every file was loaded and everything agrees."""
        return self.load_code == 0 and self.found.ok


@click.command("demo")
def command() -> int:
    """Load data/ through Kafka into PostgreSQL, reconcile, exit; 0 only when everything agrees."""
    settings = load(PlatformSettings)
    settings = load(PlatformSettings, **free_ports(settings))
    logs.configure("stderr", settings.log_level)
    files = csv_files(settings.data_dir)
    console = Console()
    console.print(f"starting Kafka and PostgreSQL in {settings.home}", highlight=False)
    with interruptible(), servers_running(settings, servers_for(settings, ("kafka", "postgres"))) as endpoints:
        outcome = run_job(settings, endpoints, files)
    show(console, settings, outcome)
    return 0 if outcome.ok else 1


def free_ports(settings: PlatformSettings) -> dict[str, int]:
    """Returns a free port for each server whose port is not set, so that the demo runs beside anything."""
    return {
        name: ports.free_port() for name in ("kafka_port", "postgres_port") if name not in settings.model_fields_set
    }


def csv_files(folder: Path) -> list[Path]:
    """Returns the CSV files of the folder in order of name.

    Raises:
        ConfigError: there is no such folder, or none in it.
    """
    found = sorted(path for path in folder.glob("*") if path.name.endswith(SUFFIXES)) if folder.is_dir() else []
    if not found:
        raise ConfigError(
            f"no {', '.join(SUFFIXES)} in {folder}; put one there, or set RTP_DATA_DIR to a folder with some"
        )
    return found


def run_job(settings: PlatformSettings, endpoints: Endpoints, files: list[Path]) -> Outcome:
    """Loads the files while the consumer writes, and waits until the ledger has reached the end."""
    consumer = ProgramPart("consumer", rtp("consume", "--no-api"), settings.home)
    consumer.prepare()
    consumer.start()
    try:
        started = time.monotonic()
        loader = ProgramPart("load", rtp("load", *map(str, files)), settings.home).program
        # Not a child of the supervisor's kind: it shares the terminal, for its progress bar and Ctrl-C.
        code = subprocess.run(loader.argv, env=loader.env, cwd=loader.cwd, check=False).returncode
        load_s = time.monotonic() - started
        found = verify(endpoints, settings.topic, LEDGER_TIMEOUT_S)
        return Outcome(code, found, load_s, time.monotonic() - started, sum_of_amounts(endpoints))
    finally:
        consumer.stop()


def sum_of_amounts(endpoints: Endpoints) -> Decimal:
    """Returns sum(amount) over the table, exactly."""
    connection = connect(endpoints.need("postgres_read_dsn"), "rtp-demo", autocommit=True)
    try:
        with translated("sum the amounts"), connection.cursor() as cursor:
            cursor.execute("select coalesce(sum(amount), 0) from transactions")
            return Decimal(cursor.fetchall()[0][0])
    finally:
        connection.close()


def show(console: Console, settings: PlatformSettings, outcome: Outcome) -> None:
    """Prints the reconciliation, the rates, and how to look further."""
    found = outcome.found
    console.print(reconciliation_table(found))
    for problem in found.problems:
        console.print(f"problem: {problem}", style="red", markup=False)
    if outcome.load_code != 0:
        console.print(f"rtp load ended with code {outcome.load_code}: not every file was loaded", style="red")
    console.print(
        f"{found.kafka_records:,} Kafka records = {found.inserted:,} rows + {found.duplicates:,} duplicates + "
        f"{found.dead_lettered:,} dead letters + {found.skipped:,} skipped; sum of amounts {outcome.amount:,}",
        highlight=False,
    )
    console.print(
        f"CSV to Kafka {outcome.load_s:.1f} s, to PostgreSQL {outcome.total_s:.1f} s "
        f"({found.kafka_records / max(outcome.total_s, 0.001):,.0f} records/s, start of the programs included)",
        highlight=False,
    )
    further = Table("to look further", "", box=None, header_style="bold")
    further.add_row("rtp up", "the whole platform, live, until Ctrl-C")
    further.add_row('eval "$(rtp env)"; psql "$RTP_POSTGRES_READ_DSN"', "the rows, while it runs")
    further.add_row("rtp status, rtp verify", "lag, rates, reconciliation")
    further.add_row(str(settings.home / "logs"), "what every part said")
    console.print(further)
