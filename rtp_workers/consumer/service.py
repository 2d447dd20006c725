"""Wires the consumer's HTTP API, which runs in threads of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rtp_workers import logs
from rtp_workers.consumer.api import Service, build_api
from rtp_workers.consumer.api_reads import CHANGING, READ_ONLY, ConnectionThreads
from rtp_workers.consumer.api_status import Reads
from rtp_workers.consumer.logins import LoginWatch
from rtp_workers.consumer.state import ConsumerState
from rtp_workers.consumer.watching import Watcher
from rtp_workers.endpoints import Endpoints
from rtp_workers.settings import ConsumerSettings
from rtp_workers.web.guard import rules_of
from rtp_workers.web.server import WebServer

log = logs.get(__name__)


@contextmanager
def serving(settings: ConsumerSettings, endpoints: Endpoints, state: ConsumerState) -> Iterator[None]:
    """Serves the API while the block runs. The loop in the block never waits for the API.

    Args:
        settings: address, port and token.
        endpoints: Kafka for replays; PostgreSQL as rtp_ingest.
        state: written by the loop, read by the API.

    Raises:
        ConfigError: the port is taken (RTP_CONSUMER_PORT), or PostgreSQL is not known.
    """
    dsn = endpoints.need("postgres_ingest_dsn")
    reading, changing = ConnectionThreads(dsn, READ_ONLY, threads=2), ConnectionThreads(dsn, CHANGING, threads=2)
    watcher, logins = Watcher(state), LoginWatch(endpoints, state)
    service = Service(settings, endpoints, watcher, Reads(reading), changing, threading.Event())
    app = build_api(service, rules_of(settings))
    server = WebServer(app, settings.bind_host, settings.consumer_port, port_setting="RTP_CONSUMER_PORT")
    watcher.start()
    logins.start()
    try:
        server.start()
        log.info("serving", url=f"http://{settings.bind_host}:{server.port}/")
        yield
    finally:
        service.closing.set()
        server.stop()
        watcher.stop()
        logins.stop()
        reading.close()
        changing.close()
