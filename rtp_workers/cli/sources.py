"""``rtp sources``: shows how each series of CSV exports is read, and what its ids are made of."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from rtp_workers.cli.terminal import say
from rtp_workers.counted import counted
from rtp_workers.endpoints import resolve
from rtp_workers.errors import ConfigError
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.csv_sources import CsvSource, all_sources
from rtp_workers.settings import PlatformSettings, load


@click.group(name="sources")
def command() -> None:
    """List or show what is known about CSV sources. `rtp purge --source NAME` deletes one."""


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def list_sources(as_json: bool) -> int:
    """List the sources: files, rows and dates of each."""
    memories = _memories()
    if as_json:
        click.echo(json.dumps({"sources": [_as_json(memory) for memory in memories]}))
        return 0
    for memory in memories:
        files, rows = counted(memory.loads, "file"), counted(memory.rows, "row")
        say(f"{memory.name}: {files}, {rows}{_dates(memory)}; ids {_rule(memory)}")
    if not memories:
        say("no CSV with column names other than ours was loaded yet")
    return 0


@command.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the source as JSON.")
def show(name: str, as_json: bool) -> int:
    """Show how the files of source NAME are read, and which files it has."""
    memories = {memory.name: memory for memory in _memories()}
    if name not in memories:
        raise ConfigError(f"there is no source {name!r}; the sources are: {', '.join(memories) or 'none'}")
    memory = memories[name]
    click.echo(json.dumps(_as_json(memory)) if as_json else _as_text(memory))
    return 0


def _memories() -> list[CsvSource]:
    connection = connect(resolve(load(PlatformSettings)).need("postgres_read_dsn"), "rtp sources", autocommit=True)
    try:
        return all_sources(connection)
    finally:
        connection.close()


def _as_json(memory: CsvSource) -> dict[str, object]:
    fields = asdict(memory)
    for moment in ("first_at", "last_at", "learned_at"):
        fields[moment] = None if fields[moment] is None else fields[moment].isoformat()
    return fields


def _as_text(memory: CsvSource) -> str:
    reading = memory.reading
    lines = [
        f"source {memory.name}, learned from {memory.learned_from}"
        + (f", section [{memory.section}]" if memory.section else ", no section"),
        f"files: {', '.join(memory.files) or 'none'} ({counted(memory.rows, 'row')}{_dates(memory)})",
        f"columns: {', '.join(memory.header)}",
        f"ids: {_rule(memory)}",
        f"text: {reading.get('encoding')}, cells separated by {reading.get('delimiter')!r}",
    ]
    lines += [f"  {role}: {', '.join(columns)}" for role, columns in reading.get("columns", {}).items()]
    rules = reading.get("rules", {})
    lines += [f"  {name} = {value}" for name, value in rules.items() if value not in (None, "", [], False)]
    return "\n".join(lines)


def _dates(memory: CsvSource) -> str:
    if memory.first_at is None or memory.last_at is None:
        return ""
    return f", {memory.first_at:%Y-%m-%d} to {memory.last_at:%Y-%m-%d}"


def _rule(memory: CsvSource) -> str:
    if memory.id_rule == "columns":
        return f"from {', '.join(memory.reading.get('columns', {}).get('transaction_id', ()))}"
    columns = ", ".join(memory.id_columns) or "all columns"
    day = memory.reading.get("id_day")
    beginning = f", beginning with the day in {day}" if day else ""
    return f"derived ({memory.id_rule}) from {columns}, starting from id_source {memory.id_source!r}{beginning}"
