"""Wires the producer together: the service that runs until stopped, and the run of a given number of records."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from rtp_workers import logs
from rtp_workers.endpoints import resolve
from rtp_workers.errors import FatalError, RtpError, TransientError
from rtp_workers.generator.chaos import Chaos, Counts
from rtp_workers.generator.stream import Generator, World
from rtp_workers.producer.api import build_api
from rtp_workers.producer.controls import Controls
from rtp_workers.producer.generation import GenerationLoop
from rtp_workers.producer.kafka_link import KafkaLink
from rtp_workers.producer.submissions import Submitter
from rtp_workers.producer.watching import Parts, Watcher
from rtp_workers.settings import ProducerSettings
from rtp_workers.watchdog import watched
from rtp_workers.web.guard import rules_of
from rtp_workers.web.server import WebServer

LOOK_S = 0.2

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """How to run.

    Attributes:
        chaos: shares of duplicate, late and corrupt records at the start.
        count: records to generate; None: no end.
        rate_per_s: None: as fast as Kafka takes them (only with a count).
        with_api: False opens no port.
    """

    chaos: Chaos
    count: int | None
    rate_per_s: float | None
    with_api: bool


class Outcome(msgspec.Struct, frozen=True):
    """What a run has done, after every record that could be sent is acknowledged.

    Attributes:
        finished: True if `count` records were generated and all are acknowledged.
        generated: by kind.
        acknowledged: by Kafka, including those of the API.
        failed: refused by Kafka for good.
        seconds: from the first record to the last acknowledgement.
    """

    finished: bool
    generated: Counts
    acknowledged: int
    failed: int
    seconds: float


def run(settings: ProducerSettings, how: Run, stop: threading.Event) -> Outcome:
    """Generates until `stop` is set or the count is reached, then waits for Kafka's acknowledgements.

    Raises:
        FatalError: generation has ended by itself.
        ConfigError: a setting does not fit, the port is taken, or event time has left the calendar.
        TransientError: records handed over are lost, because it was stopped while Kafka was away.
    """
    parts = _build(settings, how)
    parts.loop.beat = parts.watchdog.beat("generation")
    with watched(parts.watchdog):
        return _run(settings, how, parts, stop)


def _run(settings: ProducerSettings, how: Run, parts: Parts, stop: threading.Event) -> Outcome:
    close_api = _serve(settings, parts) if how.with_api else _nothing
    log.info("producing", topic=settings.topic, records_per_s=how.rate_per_s, count=how.count)
    started_s = time.monotonic()
    parts.loop.start()
    while parts.loop.alive and not stop.is_set():
        parts.loop.join(LOOK_S)
    told = stop.is_set()
    lost = _wind_up(parts, close_api, stop, settings.producer_flush_timeout_s)
    if parts.loop.error is not None:
        raise parts.loop.error
    if not told and not parts.loop.finished:
        raise FatalError("generation ended because of an error, which is in the log. Start the producer again")
    if lost:
        raise TransientError(
            f"stopped with {lost:,} records lost: Kafka did not acknowledge them "
            f"within {settings.producer_flush_timeout_s:g} s (RTP_PRODUCER_FLUSH_TIMEOUT_S)"
        )
    return Outcome(
        finished=parts.loop.finished and parts.link.failed == 0,
        generated=parts.loop.generated,
        acknowledged=parts.link.acknowledged,
        failed=parts.link.failed,
        seconds=round(time.monotonic() - started_s, 3),
    )


def _build(settings: ProducerSettings, how: Run) -> Parts:
    world = World(settings.producer_seed, settings.producer_start, settings.producer_speed)
    controls = Controls(settings.producer_autostart or how.count is not None, how.rate_per_s, how.chaos)
    generator = Generator(world, how.chaos)
    link = KafkaLink(resolve(settings), settings.topic, settings.producer_queue_bytes)
    loop = GenerationLoop(generator, link, controls, how.count)
    return Parts(controls, loop, link, Submitter(link, settings.producer_ack_timeout_s), settings.topic)


def _serve(settings: ProducerSettings, parts: Parts) -> Callable[[], None]:
    """Starts the API; returns what stops it."""
    watcher = Watcher(parts)
    app = build_api(parts, watcher, rules_of(settings))
    server = WebServer(app, settings.bind_host, settings.producer_port, port_setting="RTP_PRODUCER_PORT")
    watcher.start()
    server.start()
    log.info("serving", url=f"http://{settings.bind_host}:{server.port}/")

    def close() -> None:
        server.stop()
        watcher.stop()

    return close


def _nothing() -> None:
    return


def _wind_up(parts: Parts, close_api: Callable[[], None], stop: threading.Event, timeout_s: float) -> int:
    """Ends in this order: no new records, all acknowledged and callers answered, no API. Returns how many are lost.

    A run that has reached its count waits for Kafka as long as it takes; `stop` starts the clock.
    """
    parts.loop.stopping.set()
    parts.loop.join()
    while not stop.is_set() and parts.link.outstanding:
        _poll(parts)
    deadline = time.monotonic() + timeout_s
    while parts.link.outstanding and time.monotonic() < deadline:
        _poll(parts)
    close_api()
    return parts.link.close()


def _poll(parts: Parts) -> None:
    try:
        parts.link.poll(0.05)
    except RtpError as error:
        parts.link.start_anew(error)
