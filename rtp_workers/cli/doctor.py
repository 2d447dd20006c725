"""``rtp doctor``: finds what is wrong with this machine or these settings, and says what to do about it."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.table import Table
from rich.text import Text

from rtp_workers.cli.terminal import console
from rtp_workers.endpoints import resolve
from rtp_workers.errors import ConfigError
from rtp_workers.local.doctor import Finding, examine
from rtp_workers.settings import PlatformSettings, load

STYLES = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(as_json: bool) -> int:
    """Check ports, versions, disk, settings and connections; exit 1 if there is a problem."""
    found = findings()
    if as_json:
        click.echo(json.dumps({"ok": healthy(found), "findings": [asdict(finding) for finding in found]}))
    else:
        console().print(findings_table(found))
    return 0 if healthy(found) else 1


def findings() -> list[Finding]:
    """Returns all findings. If the settings are wrong, that is the only finding."""
    try:
        settings = load(PlatformSettings)
        endpoints = resolve(settings)
    except ConfigError as error:
        return [Finding("settings", "problem", str(error), "correct the environment or .env; see .env.example")]
    return [Finding("settings", "ok", f"RTP_HOME is {settings.home}"), *examine(settings, endpoints)]


def healthy(found: list[Finding]) -> bool:
    """Returns whether there is no problem; warnings do not count."""
    return all(finding.state != "problem" for finding in found)


def findings_table(found: list[Finding]) -> Table:
    """Returns the findings for a terminal."""
    table = Table("check", "", "found", "what to do", box=None, header_style="bold")
    for finding in found:
        state = Text(finding.state, style=STYLES[finding.state])
        table.add_row(Text(finding.check), state, Text(finding.detail), Text(finding.remedy))
    return table
