"""``rtp purge``: deletes rows or dead letters, and counts them so that the ledger still adds up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click

from rtp_workers.cli.terminal import say
from rtp_workers.counted import counted
from rtp_workers.endpoints import resolve
from rtp_workers.errors import ConfigError
from rtp_workers.kafka.topics import describe, log_offsets
from rtp_workers.postgres.connection import Connection
from rtp_workers.postgres.purge import Criteria, PurgeReport, purge
from rtp_workers.postgres.replay_guard import LogEnds
from rtp_workers.postgres.undo import (
    Import,
    import_of_file,
    import_of_load,
    import_of_source,
    undo,
)
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
            self.fail(f"{value!r} is not a time; give e.g. 2024-01-31 or 2024-01-31T12:00:00Z", param, ctx)
        if found.tzinfo is None and found.time() == datetime.min.time() and len(str(value)) == len("2024-01-31"):
            return found.replace(tzinfo=UTC)
        if found.tzinfo is None:
            self.fail(f"{value!r} has no offset; give e.g. 2024-01-31T12:00:00Z", param, ctx)
        return found


@click.command()
@click.option("--id", "ids", multiple=True, help="A transaction_id; can be given several times.")
@click.option("--customer", "customer_id", help="Everything of a customer_id, including dead letters with that key.")
@click.option(
    "--file",
    "file_name",
    help="Everything that was loaded from a file of this name; the file can then be loaded again.",
)
@click.option(
    "--source", help="Everything that was loaded from a source, and what is known about it (see `rtp sources list`)."
)
@click.option("--load", "load_id", type=int, help="Everything that one load stored, by its number.")
@click.option(
    "--by-name", is_flag=True, help="With --file: also rows without a load number, which have only the file's name."
)
@click.option("--before", type=Instant(), help="Transactions that occurred before this time.")
@click.option("--dead-letters-before", type=Instant(), help="Dead letters first seen before this time.")
@click.option("--dry-run", is_flag=True, help="Count, but delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--timeout", "timeout_s", default=60.0, help="Seconds to wait for the consumer and for a replay.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(**options: Any) -> int:
    """Delete rows or dead letters for good, or undo an import. Give exactly one option that says what to delete."""
    as_json, dry_run, yes = (options.pop(name) for name in ("as_json", "dry_run", "yes"))
    undone = {name: options.pop(name) for name in ("file_name", "source", "load_id")}
    by_name, timeout_s = options.pop("by_name"), options.pop("timeout_s")
    if any(value is not None for value in undone.values()):
        if sum(value is not None for value in undone.values()) + sum(map(bool, options.values())) > 1:
            raise ConfigError("give exactly one option that says what to delete")
        wish = UndoWish(**undone, by_name=by_name, dry_run=dry_run, yes=yes, timeout_s=timeout_s)
        _report(_undo(wish), as_json=as_json)
        return 0
    criteria = Criteria(**options)
    owner_dsn = resolve(load(PlatformSettings)).need("postgres_dsn")
    if not dry_run and not yes:
        planned = purge(owner_dsn, criteria, dry_run=True)
        say(f"{_counted(planned)} would be deleted for good", err=True)
        click.confirm("delete them?", abort=True, err=True)
    done = purge(owner_dsn, criteria, dry_run=dry_run, ends=_log_ends, timeout_s=timeout_s)
    _report(done, as_json=as_json)
    return 0


@dataclass(frozen=True, slots=True)
class UndoWish:
    """What to undo, and how; exactly one of the first three is given."""

    file_name: str | None
    source: str | None
    load_id: int | None
    by_name: bool
    dry_run: bool
    yes: bool
    timeout_s: float

    def find(self) -> Callable[[Connection], Import]:
        """Returns what finds the import."""
        if self.load_id is not None:
            return partial(import_of_load, load_id=self.load_id)
        # Rows name their file as ``csv:<name>``, and people copy that.
        name = self.file_name or (self.source or "").removeprefix("csv:")
        by_file = self.file_name is not None or (self.source or "").startswith("csv:")
        return partial(import_of_file, file_name=name) if by_file else partial(import_of_source, name=name)


def _undo(wish: UndoWish) -> PurgeReport:
    owner_dsn = resolve(load(PlatformSettings)).need("postgres_dsn")
    found, planned = undo(owner_dsn, wish.find(), by_name=wish.by_name, dry_run=True)
    if found.unnumbered and not wish.by_name:
        them = "it" if found.unnumbered == 1 else "them"
        kept = (
            f"{counted(found.unnumbered, 'row has', 'rows have')} no load number, only the name {found.source}, which "
            "another file may share"
        )
        if not wish.yes and not wish.dry_run and click.confirm(f"{kept}. Delete {them} too?", err=True):
            return _undo(replace(wish, by_name=True))
        say(f"{kept}; --by-name deletes {them} too", err=True)
    if wish.dry_run:
        return planned
    if not wish.yes:
        say(f"{_counted(planned)} would be deleted for good", err=True)
        click.confirm("delete them?", abort=True, err=True)
    _, report = undo(owner_dsn, wish.find(), by_name=wish.by_name, ends=_log_ends, timeout_s=wish.timeout_s)
    return report


def _log_ends() -> LogEnds:
    settings = load(PlatformSettings)
    endpoints = resolve(settings)
    topic = describe(endpoints, settings.topic)
    offsets = {} if topic is None else log_offsets(endpoints, settings.topic)
    return LogEnds(topic.topic_id if topic else None, {number: end for number, (_, end) in offsets.items()})


def _report(report: PurgeReport, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"rows": report.rows, "dead_letters": report.dead_letters, "dry_run": report.dry_run}))
    else:
        say(f"{_counted(report)} {'would be deleted' if report.dry_run else 'deleted'}")


def _counted(report: PurgeReport) -> str:
    return f"{counted(report.rows, 'row')} and {counted(report.dead_letters, 'dead letter')}"
