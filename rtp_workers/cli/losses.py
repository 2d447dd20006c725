"""``rtp losses``: stored records that Kafka has lost."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click
from rich.table import Table

from rtp_workers.cli.terminal import console, say
from rtp_workers.endpoints import resolve
from rtp_workers.postgres import losses
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.losses import Loss
from rtp_workers.settings import PlatformSettings, load


@click.command("losses")
@click.option("--confirm", "confirming", is_flag=True, help="Confirm all of them. The warnings end; the list stays.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def command(confirming: bool, as_json: bool) -> int:
    """List the stored records that Kafka has lost. Exit 1 while one loss is not confirmed."""
    connection = connect(resolve(load(PlatformSettings)).need("postgres_ingest_dsn"), "rtp-losses", autocommit=True)
    try:
        confirmed = losses.confirm(connection, getpass.getuser()) if confirming else []
        found = losses.listed(connection)
    finally:
        connection.close()
    if as_json:
        click.echo(json.dumps([_plain(loss) for loss in found]))
    else:
        _show(found, confirmed)
    return 1 if any(loss.confirmed_at is None for loss in found) else 0


def _plain(loss: Loss) -> dict[str, Any]:
    values = {**asdict(loss), "offsets": loss.offsets}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def _show(found: list[Loss], confirmed: list[Loss]) -> None:
    if not found:
        say("Kafka has lost none of the stored records")
        return
    table = Table("topic", "partition", "generation", "offsets", "at most", "seen", "confirmed")
    for loss in found:
        confirmed_at = f"{loss.confirmed_at:%Y-%m-%d %H:%M} by {loss.confirmed_by}" if loss.confirmed_at else "no"
        table.add_row(
            loss.topic,
            str(loss.kafka_partition),
            str(loss.generation),
            f"{loss.from_offset} to {loss.to_offset - 1}",
            f"{loss.offsets:,}",
            f"{loss.seen_at:%Y-%m-%d %H:%M}",
            confirmed_at,
        )
    console().print(table)
    if confirmed:
        say(f"{len(confirmed)} confirmed")
    elif any(loss.confirmed_at is None for loss in found):
        say("the rows are still in PostgreSQL; confirm that you know with `rtp losses --confirm`")
