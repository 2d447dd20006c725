"""`rtp consume`: Kafka -> PostgreSQL until stopped."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import click

from rtp_workers import endpoints, logs, settings
from rtp_workers.cli.durations import DURATION_S
from rtp_workers.consumer.loop import ConsumerLoop
from rtp_workers.consumer.state import ConsumerState
from rtp_workers.watchdog import watched


@click.command("consume")
@click.option(
    "--until-idle", type=DURATION_S, metavar="DURATION", help="end when no record has come for this long, e.g. 5s"
)
@click.option("--no-api", is_flag=True, help="open no port")
@click.option("--port", type=click.IntRange(1, 65535), help="port of the HTTP API (RTP_CONSUMER_PORT)")
def command(until_idle: float | None, no_api: bool, port: int | None) -> None:
    """Move records from Kafka into PostgreSQL, exactly once, until stopped (SIGTERM, Ctrl-C)."""
    given = settings.load(settings.ConsumerSettings, consumer_port=port)
    logs.configure("stdout", given.log_level, given.log_format)
    state = ConsumerState()
    found = endpoints.resolve(given)
    loop = ConsumerLoop(given, found, state)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    with watched(state.watchdog):
        if no_api:
            loop.run(_idle_for(until_idle))
            return
        from rtp_workers.consumer.service import serving

        with serving(given, found, state):
            loop.run(_idle_for(until_idle))


def _idle_for(seconds: float | None) -> Callable[[ConsumerState], bool]:
    """Returns the condition for ending; None means never."""

    def is_idle(state: ConsumerState) -> bool:
        if seconds is None or state.settled_at is None or state.problems:
            return False
        waiting = any(lag > 0 for lag in state.lag().values())
        return not waiting and time.monotonic() - max(state.last_record_at, state.settled_at) > seconds

    return lambda state: all(map(is_idle, state.everything().values()))
