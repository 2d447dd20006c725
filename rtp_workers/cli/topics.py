"""``rtp topics``: creates the topic, or reports its drift."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from rtp_workers.cli.terminal import say
from rtp_workers.endpoints import resolve
from rtp_workers.kafka.platform_topic import ensure_platform_topic
from rtp_workers.settings import PlatformSettings, load


@click.command()
@click.option("--alter", is_flag=True, help="Correct the drift. Partitions are only ever added.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(alter: bool, as_json: bool) -> int:
    """Create the topic, or report how it differs from what it should be (exit 1)."""
    settings = load(PlatformSettings)
    report = ensure_platform_topic(resolve(settings), settings, alter=alter)
    if as_json:
        click.echo(json.dumps(asdict(report)))
        return 1 if report.drift else 0
    made = "created" if report.created else "exists"
    say(
        f"topic {report.topic} {made}: {report.partitions} partitions of "
        f"{report.replication} copies each, id {report.topic_id}"
    )
    for sentence in report.altered:
        say(f"changed: {sentence}")
    for sentence in report.drift:
        say(f"drift: {sentence}")
    if report.drift:
        say("run `rtp topics --alter` to change it, or keep it on purpose")
    return 1 if report.drift else 0
