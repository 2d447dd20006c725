"""Limits how much CPU the API takes from the stream. Callers beyond that wait, and are then turned away.

The API shares the interpreter with the loop. Whatever its clients do, its thread gets a fixed share of one core. A
thousand clients that ask as fast as they can slow each other down, but not the stream.
"""

from __future__ import annotations

import asyncio
import time

from starlette.types import ASGIApp, Receive, Scope, Send

from rtp_workers.web.problems import Problem, problem_response

SHARE = 0.10
# Enough to serve a page, or a script's few dozen calls, at once.
BURST_S = 1.0
PATIENCE_S = 5.0
MAX_WAITING = 2_000
URGENT = "/health/"


class CpuBudget:
    """CPU seconds of the calling thread, refilled at `share` per second, `burst_s` at most."""

    def __init__(self, share: float = SHARE, burst_s: float = BURST_S) -> None:
        self._share = share
        self._burst_s = burst_s
        self._left_s = burst_s
        self._seen_at = time.monotonic()
        self._used_s: float | None = None

    def missing_s(self) -> float:
        """Returns how long to wait until some budget is left; 0 if there is some. Call it from one thread only."""
        now, used_s = time.monotonic(), time.thread_time()
        spent_s = 0.0 if self._used_s is None else used_s - self._used_s
        refill_s = (now - self._seen_at) * self._share
        self._left_s = min(self._burst_s, self._left_s + refill_s - spent_s)
        self._seen_at, self._used_s = now, used_s
        return max(0.0, -self._left_s / self._share)


class Pace:
    """ASGI middleware: a request starts once the budget allows it, in order of arrival. Health checks go first."""

    def __init__(self, app: ASGIApp, budget: CpuBudget) -> None:
        self._app = app
        self._budget = budget
        self._turn = asyncio.Lock()
        self._urgent_turn = asyncio.Lock()
        self._urgent_waiting = 0
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on when its turn comes, or answers 503."""
        if scope["type"] == "http" and (self._waiting or self._urgent_waiting or self._budget.missing_s()):
            try:
                await self._wait_for_turn(urgent=scope["path"].startswith(URGENT))
            except Problem as problem:
                await problem_response(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _wait_for_turn(self, *, urgent: bool) -> None:
        if self._waiting >= MAX_WAITING:
            raise _busy()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await (self._urgently() if urgent else self._in_order())
        except TimeoutError as error:
            raise _busy() from error

    async def _in_order(self) -> None:
        self._waiting += 1
        try:
            async with self._turn:
                while (missing_s := self._budget.missing_s()) or self._urgent_waiting:
                    await asyncio.sleep(max(missing_s, 0.01))
        finally:
            self._waiting -= 1

    async def _urgently(self) -> None:
        self._urgent_waiting += 1
        try:
            async with self._urgent_turn:
                while missing_s := self._budget.missing_s():
                    await asyncio.sleep(missing_s)
        finally:
            self._urgent_waiting -= 1


def _busy() -> Problem:
    return Problem(
        503,
        "this service gets more requests than it can answer while it streams; try again, and less often",
        headers={"Connection": "close"},
    )
