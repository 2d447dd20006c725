"""The consumer's HTTP API. Handlers read counters and cached answers, and the stream never waits for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query
from fastapi.responses import Response, StreamingResponse
from prometheus_client import CollectorRegistry, ProcessCollector

from rtp_workers.consumer.api_messages import (
    MAX_LIMIT,
    DeadLetters,
    Health,
    History,
    Hole,
    Pause,
    PauseWish,
    ReplayAll,
    Replayed,
    ReplaySome,
    Resumed,
    ResumeWish,
    Status,
    transactions_schema,
)
from rtp_workers.consumer.api_pace import CpuBudget, Pace
from rtp_workers.consumer.api_reads import ConnectionThreads
from rtp_workers.consumer.api_status import Reads, StatusView, not_ready, said
from rtp_workers.consumer.metrics import ConsumerMetrics
from rtp_workers.consumer.watching import Watcher
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError
from rtp_workers.postgres import control
from rtp_workers.postgres.connection import Connection
from rtp_workers.postgres.dead_letters import DeadLetterId, Filter
from rtp_workers.reconcile.mapped_replay import MappedReplay
from rtp_workers.reconcile.replay import ReplayReport, replay
from rtp_workers.settings import ConsumerSettings
from rtp_workers.watchdog import hung_threads
from rtp_workers.web.api import ApiParts, new_api
from rtp_workers.web.events import EventFeed
from rtp_workers.web.guard import GuardRules
from rtp_workers.web.problems import Problem, documented

PAGE = Path(__file__).parent / "page"
DESCRIPTION = (
    "Kafka to PostgreSQL, exactly once: its progress, the latest rows, refused records, pause and resume. "
    "Errors are problem+json (RFC 9457). If RTP_API_TOKEN is set, every call except health and metrics needs "
    "`Authorization: Bearer`; RTP_READ_TOKEN is enough for reading. Answers from PostgreSQL are up to a second old."
)
JSON = "application/json"

T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="the most to return")]


@dataclass(frozen=True, slots=True)
class Service:
    """What the handlers work with.

    Attributes:
        threads: connections for calls that change something; a replay takes one of two.
        closing: set when the service stops, so that open pages are released.
    """

    settings: ConsumerSettings
    endpoints: Endpoints
    watcher: Watcher
    reads: Reads
    threads: ConnectionThreads
    closing: threading.Event


def build_api(service: Service, rules: GuardRules) -> FastAPI:
    """Returns the application. Nothing is started yet."""
    registry = CollectorRegistry()
    registry.register(ConsumerMetrics(service.watcher, service.settings.topic))
    ProcessCollector(registry=registry)
    app = new_api(ApiParts("Consumer streaming API", DESCRIPTION, PAGE, rules, registry))
    app.add_middleware(Pace, budget=CpuBudget())
    view = StatusView(service.settings, service.watcher, service.reads)
    _add_health(app, service)
    _add_watching(app, view, EventFeed(view.event, closing=service.closing.is_set))
    _add_latest(app, service.reads)
    _add_controls(app, service)
    _add_replay(app, service)
    return app


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/health/live", summary="Is the process healthy?", tags=["health"], responses=documented(503))
    async def live() -> Health:
        if not service.watcher.alive:
            raise Problem(503, "a thread of the service has ended; its log says why. Restart the service")
        hung = service.watcher.state.watchdog.hung
        if hung:
            raise Problem(503, hung_threads(hung))
        return Health()

    @app.get("/health/ready", summary="Do records flow?", tags=["health"], responses=documented(503))
    async def ready() -> Health:
        state = service.watcher.state
        reason = hung_threads(state.watchdog.hung) if state.watchdog.hung else not_ready(state)
        if reason is not None:
            raise Problem(503, reason)
        if state.paused:
            why = state.paused_reason or "no reason given"
            return Health(status="paused", detail=f"{why}; `rtp resume` or POST /resume continues")
        if state.waiting:
            return Health(status="waiting", detail=said(state.waiting))
        if state.login_warning is not None:
            return Health(detail=f"login: {state.login_warning}")
        return Health()


def _add_watching(app: FastAPI, view: StatusView, feed: EventFeed) -> None:
    @app.get("/status", summary="Partitions, lag, rates, ledger", tags=["watch"], response_model=Status)
    async def status() -> Response:
        return Response(await view.text(), media_type=JSON)

    @app.get("/history", summary="Rate, lag and latency of the last two minutes", tags=["watch"])
    async def history() -> History:
        return History.model_validate(view.history())

    @app.get("/events", include_in_schema=False)
    async def events() -> StreamingResponse:
        return feed.response()


def _add_latest(app: FastAPI, reads: Reads) -> None:
    rows_answer: dict[int | str, dict[str, Any]] = {
        200: {"description": "Rows", "content": {JSON: {"schema": transactions_schema()}}}
    }

    @app.get(
        "/transactions",
        summary="The rows stored last, newest first",
        tags=["data"],
        response_class=Response,
        responses={**rows_answer, **documented(422, 503)},
    )
    async def transactions(limit: Limit = 50) -> Response:
        return _listed("transactions", (await reads.rows(limit).get())[:limit])

    @app.get(
        "/dead-letters",
        summary="The newest refused records",
        tags=["data"],
        response_model=DeadLetters,
        responses=documented(422, 503),
    )
    async def dead_letters(limit: Limit = 50) -> Response:
        return _listed("dead_letters", (await reads.letters(limit).get())[:limit])


def _add_controls(app: FastAPI, service: Service) -> None:
    @app.post(
        "/pause",
        summary="Pause every consumer of the platform until it is resumed; restarts do not end the pause",
        tags=["control"],
        responses=documented(422, 503),
    )
    async def pause(wish: PauseWish | None = None) -> Pause:
        reason = (wish or PauseWish()).reason

        def work(connection: Connection) -> Pause:
            control.set_pause(connection, paused=True, reason=reason)
            return Pause(paused=True, reason=reason)

        return await _done(service.threads.run(work))

    @app.post(
        "/resume",
        summary="Resume; with accept_holes also past records that retention has deleted",
        tags=["control"],
        responses=documented(422, 503),
    )
    async def resume(wish: ResumeWish | None = None) -> Resumed:
        accept = wish is not None and wish.accept_holes
        return await _done(service.threads.run(lambda connection: _resume(connection, accept=accept)))


def _add_replay(app: FastAPI, service: Service) -> None:
    alone = asyncio.Lock()

    @asynccontextmanager
    async def one_at_a_time() -> AsyncIterator[None]:
        if alone.locked():
            raise Problem(503, "another replay is running; send this one again when it has finished")
        async with alone:
            yield

    @app.post(
        "/dead-letters/replay",
        summary="Send dead letters again as new records; the dead letters stay, marked as replayed",
        tags=["control"],
        responses=documented(422, 503),
    )
    async def replay_letters(wish: ReplaySome | ReplayAll) -> Replayed:
        """Answers once Kafka has acknowledged. After a 503 some may have been sent: those are marked as replayed."""
        async with one_at_a_time():
            report = await _done(service.threads.run(lambda _: _replay(service, wish)))
        service.reads.expire()
        return Replayed(**asdict(report))


def _resume(connection: Connection, *, accept: bool) -> Resumed:
    control.set_pause(connection, paused=False)
    accepted = control.accept_holes(connection) if accept else []
    waiting = control.open_holes(connection)
    return Resumed(
        paused=False,
        reason=None,
        accepted_holes=[Hole(**asdict(hole)) for hole in accepted],
        open_holes=[Hole(**asdict(hole)) for hole in waiting],
    )


def _replay(service: Service, wish: ReplaySome | ReplayAll) -> ReplayReport:
    topic = service.settings.topic
    wanted: list[DeadLetterId] | Filter
    if isinstance(wish, ReplaySome):
        wanted = [DeadLetterId.parse(text) for text in dict.fromkeys(wish.ids)]
    else:
        wanted = Filter(topic=wish.topic or topic, reason=wish.reason, replayed=False)
    return replay(service.endpoints, topic, wanted, remake=MappedReplay(service.settings).outgoing)


async def _done(future: asyncio.Future[T]) -> T:
    """Awaits work in PostgreSQL. An error in our own settings is the service's fault, not the caller's."""
    try:
        return await future
    except ConfigError as error:
        raise Problem(503, str(error)) from error


def _listed(name: str, items: list[str]) -> Response:
    return Response(f'{{"{name}":[{",".join(items)}]}}'.encode(), media_type=JSON)
