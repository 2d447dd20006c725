"""``rtp refused``: rows of CSV files that could not become records, as they are in the file."""

from __future__ import annotations

import json
from itertools import islice

import click

from rtp_workers.batch.file_names import shown_name
from rtp_workers.batch.known_lists import KnownList, known_lists
from rtp_workers.batch.refused_file import safe_name
from rtp_workers.cli.terminal import say
from rtp_workers.counted import counted
from rtp_workers.errors import ConfigError
from rtp_workers.object_address import is_address, parse_address
from rtp_workers.settings import PlatformSettings, load


@click.group(name="refused")
def command() -> None:
    """List or show the rows of CSV files that were refused."""


@command.command(name="list")
@click.argument("folder", required=False)
def list_files(folder: str | None) -> int:
    """List the files with refused rows, and how many there are; of FOLDER, such as s3://bucket/exports, too."""
    if folder is not None and not is_address(folder):
        raise ConfigError(
            f"{folder} is not the address of a folder in object storage; lists on this disk are shown anyway"
        )
    next_to = None if folder is None else parse_address(folder)
    for known in known_lists(load(PlatformSettings), next_to):
        say(f"{known.file_name}: {counted(sum(1 for _ in known.rows()), 'row')} refused, in {known.shown}")
    return 0


@command.command()
@click.argument("file")
@click.option("--limit", default=20, help="The most rows to show.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def show(file: str, limit: int, as_json: bool) -> int:
    """Show the refused rows of FILE, a name or an object's address, with their lines and reasons."""
    lists = known_lists(load(PlatformSettings), parse_address(file).folder if is_address(file) else None)
    for known in _of_file(file, lists):
        for row in islice(known.rows(), limit):
            text = f"line {row['line']}: {row['reason']}: {row['detail']}\n  {row['row']!a}"
            click.echo(json.dumps(row) if as_json else text)
    return 0


def _of_file(file: str, lists: list[KnownList]) -> list[KnownList]:
    name = shown_name(file)
    found = [known for known in lists if known.file_name == safe_name(name) or known.name == name]
    if not found:
        there = ", ".join(sorted({known.file_name for known in lists})) or "none"
        raise ConfigError(f"no refused rows of {file!r} are listed; files with refused rows: {there}")
    return found
