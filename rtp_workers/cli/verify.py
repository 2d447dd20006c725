"""``rtp verify``: Kafka, ledger and tables reconciled."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.table import Table

from rtp_workers.cli.durations import DURATION_S
from rtp_workers.cli.terminal import console, say
from rtp_workers.endpoints import resolve
from rtp_workers.reconcile.verify import Verification, verify
from rtp_workers.settings import PlatformSettings, load


@click.command()
@click.option(
    "--timeout", "timeout_s", type=DURATION_S, default="60s", show_default=True, help="How long the ledger may take."
)
@click.option("--json", "as_json", is_flag=True, help="Print the reconciliation as JSON.")
def command(timeout_s: float, as_json: bool) -> int:
    """Reconcile Kafka, ledger and tables; exit 1 when the ledger is behind or anything disagrees."""
    settings = load(PlatformSettings)
    found = verify(resolve(settings), settings.topic, timeout_s, group_id=settings.group_id)
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        console().print(reconciliation_table(found))
        for problem in found.problems:
            say(f"problem: {problem}")
        say("everything agrees" if found.ok else f"{len(found.problems)} problems")
    return 0 if found.ok else 1


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
