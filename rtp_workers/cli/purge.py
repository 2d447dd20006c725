"""``rtp purge``: rows or dead letters deleted, and counted so that the ledger still adds up."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from rtp_workers.endpoints import resolve
from rtp_workers.postgres.purge import Criteria, PurgeReport, purge
from rtp_workers.settings import PlatformSettings, load


class Instant(click.ParamType[datetime]):
    """A date (midnight UTC) or an RFC 3339 time with its offset."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Returns the aware time."""
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time; give e.g. 2024-01-31 or 2024-01-31T12:00:00Z", param, ctx)
        if found.tzinfo is None and found.time() == datetime.min.time() and len(str(value)) == len("2024-01-31"):
            return found.replace(tzinfo=UTC)
        if found.tzinfo is None:
            self.fail(f"{value!r} has no offset; give e.g. 2024-01-31T12:00:00Z", param, ctx)
        return found


@click.command()
@click.option("--id", "ids", multiple=True, help="A transaction_id; may be given again.")
@click.option("--customer", "customer_id", help="All of a customer_id, dead letters with that key included.")
@click.option("--before", type=Instant(), help="What occurred before this time.")
@click.option("--dead-letters-before", type=Instant(), help="Dead letters first seen before this time.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(**options: Any) -> int:
    """Delete rows or dead letters for good; give exactly one of --id, --customer and the two --..before."""
    as_json, dry_run, yes = (options.pop(name) for name in ("as_json", "dry_run", "yes"))
    criteria = Criteria(**options)
    owner_dsn = resolve(load(PlatformSettings)).need("postgres_dsn")
    if not dry_run and not yes:
        planned = purge(owner_dsn, criteria, dry_run=True)
        click.echo(f"{_counted(planned)} would be deleted for good", err=True)
        click.confirm("delete them?", abort=True, err=True)
    report = purge(owner_dsn, criteria, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps({"rows": report.rows, "dead_letters": report.dead_letters, "dry_run": report.dry_run}))
    else:
        click.echo(f"{_counted(report)} {'would be deleted' if dry_run else 'deleted'}")
    return 0


def _counted(report: PurgeReport) -> str:
    return f"{report.rows:,} rows and {report.dead_letters:,} dead letters"
