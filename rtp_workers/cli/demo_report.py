"""What ``rtp demo`` reports at its end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rtp_workers.postgres.by_source import SourceTotal
from rtp_workers.postgres.csv_loads import CsvLoad
from rtp_workers.producer.service import Outcome as Produced
from rtp_workers.reconcile.verify import Verification
from rtp_workers.settings import PlatformSettings

CSV = "csv:"


@dataclass(frozen=True, slots=True)
class Batch:
    """The backfill.

    Attributes:
        code: exit code of the Dagster run.
        log: its output.
        started_at: by PostgreSQL's clock.
        job_s: seconds for the whole run, including Dagster's start and the checks.
        loads: the files of the run, as far as they are loaded.
    """

    code: int
    log: Path
    started_at: datetime
    job_s: float
    loads: list[CsvLoad]


@dataclass(frozen=True, slots=True)
class Live:
    """The live records.

    Attributes:
        code: exit code of the producer.
        log: its output.
        started_at: by PostgreSQL's clock.
        produced: its own counts; None if it ended before it could report them.
    """

    code: int
    log: Path
    started_at: datetime
    produced: Produced | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo did. No `live` if none was asked for; `sources` are the new rows since the backfill began."""

    batch: Batch
    live: Live | None
    found: Verification
    sources: list[SourceTotal]

    @property
    def ok(self) -> bool:
        """Whether every file was loaded, every live record acknowledged, and everything agrees."""
        return self.batch.code == 0 and (self.live is None or self.live.code == 0) and self.found.ok


def show(console: Console, settings: PlatformSettings, outcome: Outcome) -> None:
    """Prints what arrived, the reconciliation, the rates, what went wrong, and how to look further."""
    console.print()
    console.print(sources_table(outcome.sources))
    console.print(account_table(outcome.found))
    console.print()
    for line in rates(outcome):
        console.print(line, soft_wrap=True)
    for line in trouble(outcome):
        console.print(line, style="red", markup=False, soft_wrap=True)
    if outcome.ok:
        console.print("\nreconciled: every record in Kafka is accounted for, once\n", style="bold green")
    console.print(further(settings))


def sources_table(sources: list[SourceTotal]) -> Table:
    """Returns rows and sum(amount) by source, and of all."""
    table = Table("source", "rows", "sum(amount)", title="Rows in PostgreSQL", title_justify="left", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for source in sources:
        table.add_row(source.source, f"{source.rows:,}", f"{source.amount:,}")
    amount = sum((source.amount for source in sources), Decimal(0))
    table.add_row("all", f"{sum(source.rows for source in sources):,}", f"{amount:,}", style="bold")
    return table


def account_table(found: Verification) -> Table:
    """Returns the equation: Kafka records = rows + duplicates + dead letters + skipped."""
    table = Table("", "", "", title="\nReconciliation", title_justify="left", box=None, show_header=False)
    table.columns[1].justify = "right"
    table.add_row("  Kafka records", f"{found.kafka_records:,}", "batch and live", style="bold")
    for name, count, meaning in (
        ("= rows", found.inserted, "in transactions"),
        ("+ duplicates", found.duplicates, "the same record again: counted, not stored twice"),
        ("+ dead letters", found.dead_lettered, "kept with the reason: rtp dead-letters list"),
        ("+ skipped", found.skipped, "offsets that hold no record"),
    ):
        table.add_row(name, f"{count:,}", meaning)
    return table


def rates(outcome: Outcome) -> list[str]:
    """Returns how fast it went; the start of programs is not counted."""
    batch, live = outcome.batch, outcome.live
    lines = [*batch_rates(outcome), f"{batch.job_s:.1f} s for the whole Dagster run, its start and its checks included"]
    shown = [f"{'batch:' if number == 0 else '':7}{line}" for number, line in enumerate(lines)]
    if live is not None and live.produced is not None:
        made, kinds = live.produced, live.produced.generated
        shown.append(f"live:  {made.acknowledged:,} records into Kafka {pace(made.acknowledged, made.seconds)}")
        shown.append(f"       {kinds.duplicate:,} of them sent twice and {kinds.corrupt:,} corrupt, on purpose")
    return shown


def batch_rates(outcome: Outcome) -> list[str]:
    """Returns rows and rates of the backfill, into Kafka and into PostgreSQL."""
    mine = [found for found in outcome.batch.loads if found.started_at >= outcome.batch.started_at]
    ends = [found.finished_at for found in mine if found.finished_at is not None]
    sources = [source for source in outcome.sources if source.source.startswith(CSV)]
    written = [source.last_at for source in sources if source.last_at is not None]
    if not ends or not written:
        return ["every file was loaded before, so no row was added" if outcome.batch.code == 0 else "not loaded"]
    begin = min(found.started_at for found in mine)
    sent, rows = sum(found.progress.acknowledged for found in mine), sum(source.new_rows for source in sources)
    return [
        f"{sent:,} rows into Kafka {pace(sent, (max(ends) - begin).total_seconds())}",
        f"{rows:,} rows into PostgreSQL {pace(rows, (max(written) - begin).total_seconds())}",
    ]


def pace(count: int, seconds: float) -> str:
    """Returns how long it took, and the rate."""
    return f"in {seconds:.1f} s, {count / max(seconds, 0.001):,.0f}/s"


def trouble(outcome: Outcome) -> list[str]:
    """Returns what went wrong, and where to look for each."""
    batch, live = outcome.batch, outcome.live
    lines = [f"problem: {problem}" for problem in outcome.found.problems]
    if batch.code != 0:
        lines.append(f"the Dagster run failed, and not every file was loaded; see {batch.log}")
    refused = sum(found.progress.refused for found in batch.loads)
    if refused:
        lines.append(f"{refused:,} CSV rows were refused; RTP_HOME/refused lists them by line")
    if live is not None and live.code != 0:
        lines.append(f"the producer failed with code {live.code}; see {live.log}")
    return lines


def further(settings: PlatformSettings) -> Table:
    """Returns what to do next."""
    table = Table("to look further", "", box=None, header_style="bold")
    table.add_row("rtp up", "the whole platform with its pages and Dagster; Ctrl-C stops it")
    table.add_row('eval "$(rtp env)"', 'then, while it is running: psql "$RTP_POSTGRES_READ_DSN"')
    table.add_row("rtp status; rtp verify", "lag and rates; this reconciliation again")
    table.add_row("logs", str(settings.home / "logs"))
    return table
