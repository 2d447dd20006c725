"""``rtp dead-letters``: lists, shows and replays refused records."""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import asdict
from typing import Any, BinaryIO

import click
from rich.table import Table
from rich.text import Text

from rtp_workers.cli.terminal import console, say
from rtp_workers.endpoints import resolve
from rtp_workers.errors import ConfigError
from rtp_workers.postgres import dead_letters
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.dead_letters import DeadLetterId, Filter, StoredDeadLetter
from rtp_workers.printable import printable
from rtp_workers.reconcile.mapped_replay import MappedReplay
from rtp_workers.reconcile.replay import Repair, replay
from rtp_workers.reconcile.verify import reader_dsn
from rtp_workers.settings import PlatformSettings, load

SHOWN_CHARACTERS = 2_000


@click.group()
def command() -> None:
    """List, show or replay refused records."""


@command.command("list")
@click.option("--topic", help="Only of this topic.")
@click.option("--reason", help="Only this reason code.")
@click.option(
    "--pending", "replayed", flag_value=False, default=None, type=bool, help="Only those that were never replayed."
)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000), help="The most to show.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_command(topic: str | None, reason: str | None, replayed: bool | None, limit: int, as_json: bool) -> int:
    """List dead letters, newest first, and count them by reason."""
    settings = load(PlatformSettings)
    wanted = Filter(topic, reason, replayed)
    connection = connect(reader_dsn(resolve(settings)), "rtp-dead-letters", autocommit=True)
    try:
        found = dead_letters.newest(connection, wanted, limit)
        by_reason = dead_letters.overview(connection, wanted).by_reason
    finally:
        connection.close()
    if as_json:
        letters = [_as_json(letter) for letter in found]
        click.echo(json.dumps({"total": sum(by_reason.values()), "by_reason": by_reason, "dead_letters": letters}))
        return 0
    if not found:
        say("no dead letters")
        return 0
    _print_list(found, by_reason)
    return 0


@command.command("show")
@click.argument("dead_letter_id")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; bytes as base64.")
@click.option("--raw", is_flag=True, help="Print only the bytes of the value.")
def show_command(dead_letter_id: str, as_json: bool, raw: bool) -> int:
    """Show one dead letter with its value as received."""
    letter = _find_one(dead_letter_id)
    if raw:
        sys.stdout.buffer.write(letter.value or b"")
        return 0
    if as_json:
        click.echo(json.dumps(_as_json(letter)))
        return 0
    for name, value in _as_json(letter).items():
        if name not in ("key", "value", "headers"):
            say(f"{name}: {value if value is not None else '-'}")
    say(f"key: {_readable(letter.key)}")
    for header, content in letter.headers:
        say(f"header {header}: {_readable(content)}")
    say(f"value: {_readable(letter.value)}")
    return 0


@command.command("replay")
@click.option("--id", "ids", multiple=True, help="A dead letter's id; can be given several times.")
@click.option("--topic", help="Those of this topic instead of our own; its section of the mapping file converts them.")
@click.option("--reason", help="All with this reason code that were never replayed.")
@click.option("--all", "everything", is_flag=True, help="All that were never replayed.")
@click.option(
    "--value", "value_file", type=click.File("rb"), help="Send this file's bytes instead (with one --id; - is stdin)."
)
@click.option("--edit", is_flag=True, help="Repair the value in $EDITOR first (with one --id).")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def replay_command(
    ids: tuple[str, ...],
    topic: str | None,
    reason: str | None,
    everything: bool,
    value_file: BinaryIO | None,
    edit: bool,
    as_json: bool,
) -> int:
    """Send dead letters to our topic again; exit 1 if one was not accepted."""
    if bool(ids) + bool(reason) + everything != 1:
        raise ConfigError("say what to replay: give exactly one of --id, --reason and --all")
    if (value_file is not None or edit) and (len(ids) != 1 or (value_file is not None and edit)):
        raise ConfigError("--value and --edit repair one dead letter: give one --id, and only one of the two")
    settings = load(PlatformSettings)
    wanted = (
        [DeadLetterId.parse(text) for text in ids] if ids else Filter(topic or settings.topic, reason, replayed=False)
    )
    report = replay(
        resolve(settings), settings.topic, wanted, _repair(value_file, edit), MappedReplay(settings).outgoing
    )
    if as_json:
        click.echo(json.dumps(asdict(report)))
    else:
        say(f"{report.replayed} replayed")
        for letter_id, why in report.failed.items():
            say(f"not replayed: {letter_id}: {why}")
        for letter_id in report.unknown:
            say(f"unknown: {letter_id}: see `rtp dead-letters list`")
    return 1 if report.failed or report.unknown else 0


def _repair(value_file: BinaryIO | None, edit: bool) -> Repair | None:
    if value_file is not None:
        value = value_file.read()
        return lambda letter: value
    return _edited if edit else None


def _edited(letter: StoredDeadLetter) -> bytes:
    try:
        text = (letter.value or b"").decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"the value of {letter.id} is not UTF-8 text; repair it with --value FILE") from error
    edited = click.edit(text, extension=".json")
    if edited is None:
        raise ConfigError("you changed nothing in the editor, so nothing was sent")
    return edited.rstrip("\n").encode()


def _find_one(text: str) -> StoredDeadLetter:
    wanted = DeadLetterId.parse(text)
    connection = connect(reader_dsn(resolve(load(PlatformSettings))), "rtp-dead-letters", autocommit=True)
    try:
        found = dead_letters.find(connection, [wanted])
    finally:
        connection.close()
    if not found:
        raise ConfigError(f"there is no dead letter {wanted}; see `rtp dead-letters list`")
    return found[0]


def _as_json(letter: StoredDeadLetter) -> dict[str, Any]:
    return {
        "id": str(letter.id),
        "topic": letter.topic,
        "reason": letter.reason,
        "detail": letter.detail,
        "first_seen_at": letter.first_seen_at.isoformat(),
        "replayed_at": None if letter.replayed_at is None else letter.replayed_at.isoformat(),
        "key": _base64(letter.key),
        "value": _base64(letter.value),
        "headers": [[name, _base64(content)] for name, content in letter.headers],
    }


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def _readable(content: bytes | None) -> str:
    """Returns bytes for a terminal. What is not text is escaped, so that no record can send control sequences."""
    if content is None:
        return "(null)"
    shown = printable(content[:SHOWN_CHARACTERS].decode("utf-8", "backslashreplace"))
    return shown if len(content) <= SHOWN_CHARACTERS else f"{shown}... ({len(content):,} bytes; --raw prints all)"


def _print_list(found: list[StoredDeadLetter], by_reason: dict[str, int]) -> None:
    screen = console()
    table = Table("id", "seen", "reason", "detail", "replayed")
    table.columns[0].overflow = "fold"
    for letter in found:
        replayed = "" if letter.replayed_at is None else f"{letter.replayed_at:%Y-%m-%d %H:%M}"
        seen = f"{letter.first_seen_at:%Y-%m-%d %H:%M:%S}"
        detail = Text(_readable(letter.detail.encode()))
        table.add_row(Text(str(letter.id)), seen, letter.reason, detail, replayed)
    screen.print(table)
    screen.print(", ".join(f"{reason}: {count:,}" for reason, count in by_reason.items()))
