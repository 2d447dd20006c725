"""``rtp refused``: rows of CSV files that no record could be made of, as they stand in the file."""

from __future__ import annotations

import csv
import json
from itertools import islice
from pathlib import Path

import click

from rtp_workers.batch.refused_file import FOLDER, raw_row
from rtp_workers.cli.terminal import say
from rtp_workers.errors import ConfigError
from rtp_workers.settings import PlatformSettings, load


@click.group(name="refused")
def command() -> None:
    """List or show the rows of CSV files that were refused."""


@command.command(name="list")
def list_files() -> int:
    """List the files with refused rows, and how many there are."""
    for path in _listed():
        say(f"{_file_name(path)}: {_count(path):,} rows refused, in {path}")
    return 0


@command.command()
@click.argument("file")
@click.option("--limit", default=20, help="Rows at most.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def show(file: str, limit: int, as_json: bool) -> int:
    """Show the refused rows of FILE with their lines and reasons."""
    found = [path for path in _listed() if _file_name(path) == file or path.name == Path(file).name]
    if not found:
        known = ", ".join(sorted({_file_name(path) for path in _listed()})) or "none"
        raise ConfigError(f"no refused rows of {file!r} are listed; there are some of: {known}")
    for path in found:
        with path.open(newline="", encoding="utf-8") as listed:
            for row in islice(csv.DictReader(listed), limit):
                shown = {**row, "detail": raw_row(row["detail"]), "row": raw_row(row["row"])}
                text = f"line {shown['line']}: {shown['reason']}: {shown['detail']}\n  {shown['row']!a}"
                click.echo(json.dumps(shown) if as_json else text)
    return 0


def _listed() -> list[Path]:
    return sorted((load(PlatformSettings).home / FOLDER).glob("*.csv"))


def _file_name(path: Path) -> str:
    """Returns the file's name as it was made safe for a file name of ours: ``<name>.<identity>.csv``."""
    return path.name.rsplit(".", 2)[0]


def _count(path: Path) -> int:
    with path.open(newline="", encoding="utf-8") as listed:
        return max(0, sum(1 for _ in csv.reader(listed)) - 1)
