"""The producer's HTTP API. Handlers read counters, write wishes or wait for Kafka; the stream never waits for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from prometheus_client import CollectorRegistry, ProcessCollector

from rtp_workers.generator.chaos import Chaos
from rtp_workers.producer import submissions
from rtp_workers.producer.messages import (
    ATTRIBUTE_SCHEMAS,
    Acknowledged,
    Burst,
    ChaosRatios,
    Health,
    History,
    Placement,
    Rate,
    Status,
    transactions_schema,
)
from rtp_workers.producer.watching import Parts, ProducerMetrics, Watcher
from rtp_workers.watchdog import hung_threads
from rtp_workers.web.api import ApiParts, new_api
from rtp_workers.web.events import EventFeed
from rtp_workers.web.guard import GuardRules
from rtp_workers.web.problems import Problem, documented

PAGE = Path(__file__).parent / "page"
DESCRIPTION = (
    "Live transactions at an exact rate, and a way to send your own. Errors are problem+json (RFC 9457). "
    "If RTP_API_TOKEN is set, every call except health and metrics needs `Authorization: Bearer`; RTP_READ_TOKEN is "
    "enough for reading."
)


def build_api(parts: Parts, watcher: Watcher, rules: GuardRules) -> FastAPI:
    """Returns the application; it starts nothing."""
    registry = CollectorRegistry()
    registry.register(ProducerMetrics(watcher))
    ProcessCollector(registry=registry)
    app = new_api(ApiParts("Producer streaming API", DESCRIPTION, PAGE, rules, registry, ATTRIBUTE_SCHEMAS))
    _add_health(app, parts)
    _add_watching(app, watcher)
    _add_controls(app, parts, watcher)
    _add_transactions(app, parts)
    return app


def _add_health(app: FastAPI, parts: Parts) -> None:
    @app.get("/health/live", summary="Is the process healthy?", tags=["health"], responses=documented(503))
    def live() -> Health:
        if not parts.loop.alive and not parts.loop.stopping.is_set():
            raise Problem(503, f"generation has ended: {parts.loop.error}; start the service again")
        if parts.watchdog.hung:
            raise Problem(503, hung_threads(parts.watchdog.hung))
        return Health()

    @app.get("/health/ready", summary="Does Kafka answer?", tags=["health"], responses=documented(503))
    def ready() -> Health:
        if parts.loop.stopping.is_set():
            raise Problem(503, "the service is stopping")
        trouble = parts.loop.error or parts.link.trouble
        if trouble is not None:
            raise Problem(503, str(trouble))
        return Health()


def _add_watching(app: FastAPI, watcher: Watcher) -> None:
    feed = EventFeed(watcher.event)

    @app.get("/status", summary="Rate, counts and state", tags=["watch"])
    def status() -> Status:
        return Status.model_validate(watcher.status())

    @app.get("/history", summary="Target and acknowledged rate of the last two minutes", tags=["watch"])
    def history() -> History:
        return History.model_validate(watcher.history())

    @app.get("/events", include_in_schema=False)
    async def events() -> StreamingResponse:
        return feed.response()


def _add_controls(app: FastAPI, parts: Parts, watcher: Watcher) -> None:
    controls = parts.controls

    def status() -> Status:
        return Status.model_validate(watcher.status())

    @app.post("/start", summary="Generate", tags=["control"])
    def start() -> Status:
        controls.running = True
        return status()

    @app.post("/stop", summary="Stop generating; records that were sent stay in Kafka", tags=["control"])
    def stop() -> Status:
        controls.running = False
        controls.take_burst(controls.burst)
        return status()

    @app.put("/rate", summary="Change the target rate", tags=["control"], responses=documented(422))
    def rate(wish: Rate) -> Status:
        controls.rate_per_s = wish.records_per_s
        return status()

    @app.post("/burst", summary="Send records at once", tags=["control"], responses=documented(422))
    def burst(wish: Burst) -> Status:
        controls.add_burst(wish.records)
        return status()

    @app.put(
        "/chaos", summary="Mix in duplicates, late and corrupt records", tags=["control"], responses=documented(422)
    )
    def chaos(wish: ChaosRatios) -> Status:
        controls.chaos = Chaos(**wish.model_dump())
        return status()


def _add_transactions(app: FastAPI, parts: Parts) -> None:
    body: dict[str, Any] = {"required": True, "content": {"application/json": {"schema": transactions_schema()}}}

    @app.post(
        "/transactions",
        summary="Send your own transactions: one, or a list that is accepted or refused as a whole",
        tags=["transactions"],
        responses=documented(422, 503),
        openapi_extra={"requestBody": body},
    )
    async def transactions(request: Request) -> Acknowledged:
        """Answers once Kafka has acknowledged all of them. After a 503 the outcome is unknown: send again, same ids."""
        sent, _ = submissions.parse(await request.body())
        if parts.loop.stopping.is_set() or not parts.loop.alive:
            raise Problem(503, "the service is stopping; nothing was sent")
        placed = await parts.submitter.submit(sent)
        return Acknowledged(
            topic=parts.topic, acknowledged=[Placement(**msgspec.structs.asdict(one)) for one in placed]
        )
