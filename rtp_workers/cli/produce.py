"""``rtp produce``: the live generator and its HTTP API, or a given number of records."""

from __future__ import annotations

import json
import signal
import threading
from datetime import datetime
from typing import Any

import click
import msgspec

from rtp_workers import logs
from rtp_workers.cli.terminal import say
from rtp_workers.errors import ConfigError
from rtp_workers.generator.chaos import Chaos
from rtp_workers.producer.service import Outcome, Run, run
from rtp_workers.settings import ProducerSettings, load


def _instant(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a time; give e.g. 2025-03-01T00:00:00Z") from error
    if instant.tzinfo is None:
        raise click.BadParameter(f"{text!r} has no offset; add Z, or e.g. +01:00")
    return instant


@click.command()
@click.option(
    "--count", type=click.IntRange(min=1), help="Generate this many records without the API, say 'finished', and exit."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Records per second [RTP_PRODUCER_RATE_PER_S, 50; with --count: as fast as Kafka takes them].",
)
@click.option("--seed", type=int, help="The same seed, start and speed give the same records and ids.")
@click.option("--start", callback=_instant, help="Event time of the first record, with offset; default: now.")
@click.option("--speed", type=float, help="With --start: how much faster than 50 records a second event time runs.")
@click.option("--duplicate", type=float, default=0.0, help="Share of records sent a second time.")
@click.option("--late", type=float, default=0.0, help="Share of records that happened hours to days earlier.")
@click.option("--corrupt", type=float, default=0.0, help="Share of records that cannot be read.")
@click.option("--no-api", is_flag=True, help="Open no port.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON at the end.")
def command(no_api: bool, as_json: bool, **options: Any) -> int:
    """Run the live generator and its HTTP API until stopped, or generate --count records."""
    settings = load(
        ProducerSettings,
        producer_rate_per_s=options["rate"],
        producer_seed=options["seed"],
        producer_start=options["start"],
        producer_speed=options["speed"],
    )
    if settings.producer_start is None and options["speed"] is not None:
        raise ConfigError("--speed needs --start: without a start, event time is now")
    count: int | None = options["count"]
    how = Run(
        chaos=Chaos(options["duplicate"], options["late"], options["corrupt"]),
        count=count,
        rate_per_s=settings.producer_rate_per_s if count is None or options["rate"] else None,
        with_api=count is None and not no_api,
    )
    logs.configure("stdout" if count is None and not as_json else "stderr", settings.log_level, settings.log_format)
    outcome = run(settings, how, _stop_on_signals())
    _report(outcome, as_json)
    return 0 if count is None or outcome.finished else 1


def _stop_on_signals() -> threading.Event:
    """Returns an event that SIGTERM or SIGINT sets; a second one ends the process as usual."""
    stop = threading.Event()

    def on_signal(number: int, _frame: Any) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stop


def _report(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(outcome)))
        return
    made = outcome.generated
    say(
        f"{'finished' if outcome.finished else 'stopped'}: {made.records:,} records generated "
        f"({made.fresh:,} fresh, {made.duplicate:,} duplicate, {made.late:,} late, {made.corrupt:,} corrupt), "
        f"{outcome.acknowledged:,} acknowledged, {outcome.failed:,} failed, in {outcome.seconds:g} s"
    )
