"""``rtp files``: shows for every CSV of the data folder whether it is loaded, and if not, why."""

from __future__ import annotations

import json

import click

from rtp_workers.batch.file_states import FileState, folder_states
from rtp_workers.cli.terminal import say
from rtp_workers.counted import counted
from rtp_workers.endpoints import resolve
from rtp_workers.postgres.connection import connect
from rtp_workers.settings import PlatformSettings, load


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def command(as_json: bool) -> int:
    """List the CSV files of the data folder: loaded, waiting, or failed and why. Exit 1 while one is not loaded."""
    settings = load(PlatformSettings)
    connection = connect(resolve(settings).need("postgres_read_dsn"), "rtp files", autocommit=True)
    try:
        states = folder_states(settings, connection)
    finally:
        connection.close()
    if as_json:
        click.echo(json.dumps({"files": [_as_json(state) for state in states]}))
    else:
        for state in states:
            say(f"{_word(state):<8} {state.name}: {_explained(state)}")
        if not states:
            say(f"no CSV file in {settings.data_dir}")
    return 0 if all(state.state in ("loaded", "purged") for state in states) else 1


def _as_json(state: FileState) -> dict[str, object]:
    attempt = state.last.attempt if state.last is not None else None
    return {
        "file": state.name,
        "state": _word(state),
        "reason": state.reason,
        "rows": attempt.rows_read - attempt.refused if attempt is not None else 0,
        "refused": attempt.refused if attempt is not None else 0,
    }


def _word(state: FileState) -> str:
    return "waiting" if state.state == "new" else state.state


def _explained(state: FileState) -> str:
    if state.state == "new":
        return "not loaded yet" if state.last is None else "it has changed since the last attempt"
    if state.state in ("failed", "purged"):
        return f"{' '.join(state.reason.split())} ({state.next_step})"
    if state.state == "refused" or state.last is None:
        return state.reason
    attempt = state.last.attempt
    refused = f", {attempt.refused:,} refused (rtp refused show {state.name})" if attempt.refused else ""
    return f"{counted(attempt.rows_read - attempt.refused, 'row')}{refused}"
