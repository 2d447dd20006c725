"""``rtp verify``: reconciles Kafka, ledger and tables."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from rtp_workers.cli.durations import DURATION_S
from rtp_workers.cli.terminal import console, say
from rtp_workers.counted import counted
from rtp_workers.endpoints import resolve
from rtp_workers.reconcile.consumed_topics import consumed_topics
from rtp_workers.reconcile.verify import TopicCounts, Verification, verify
from rtp_workers.settings import PlatformSettings, load


@click.command()
@click.option(
    "--timeout", "timeout_s", type=DURATION_S, default="60s", show_default=True, help="How long to wait for the ledger."
)
@click.option("--json", "as_json", is_flag=True, help="Print the reconciliation as JSON.")
def command(timeout_s: float, as_json: bool) -> int:
    """Reconcile Kafka, ledger and tables; exit 1 if the ledger is behind or anything disagrees."""
    settings = load(PlatformSettings)
    endpoints = resolve(settings)
    mapped = consumed_topics(endpoints, settings)
    found = verify(endpoints, settings.topic, timeout_s, group_id=settings.group_id, mapped=mapped)
    if as_json:
        click.echo(json.dumps(as_printed(found)))
    else:
        console().print(reconciliation_table(found))
        if found.topics:
            console().print(topics_table(found.topics))
        for problem in found.problems:
            say(f"problem: {problem}")
        say("everything agrees" if found.ok else counted(len(found.problems), "problem"))
    return 0 if found.ok else 1


def as_printed(found: Verification) -> dict[str, Any]:
    """Returns the object that scripts read; it has the key `topics` only where topics are mapped."""
    printed = asdict(found)
    if not found.topics:
        del printed["topics"]
    return printed


def reconciliation_table(found: Verification) -> Table:
    """Returns the reconciliation for a terminal: Kafka records = inserted + duplicates + dead letters + skipped."""
    table = Table("", "records", title="Reconciliation")
    table.columns[1].justify = "right"
    accounted = found.inserted + found.duplicates + found.dead_lettered + found.skipped
    for name, count in (
        ("inserted", found.inserted),
        ("duplicates", found.duplicates),
        ("dead letters", found.dead_lettered),
        ("skipped (no record there)", found.skipped),
    ):
        table.add_row(name, f"{count:,}")
    table.add_section()
    table.add_row("accounted for", f"{accounted:,}")
    table.add_row("records in Kafka", f"{found.kafka_records:,}", style="bold")
    table.add_section()
    table.add_row("rows in PostgreSQL", f"{found.rows:,}", style="bold green" if found.ok else "bold red")
    return table


def topics_table(found: Iterable[TopicCounts]) -> Table:
    """Returns the reconciliation of mapped topics for a terminal, a line a topic."""
    table = Table(
        "topic", "records in Kafka", "inserted", "duplicates", "dead letters", "skipped", title="Mapped topics"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for one in found:
        counts = (one.kafka_records, one.inserted, one.duplicates, one.dead_lettered, one.skipped)
        table.add_row(Text(one.topic), *(f"{count:,}" for count in counts))
    return table
