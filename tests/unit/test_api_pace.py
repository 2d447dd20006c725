"""Callers beyond the API's share of the processor wait in order, health checks first, and are sent away at last."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtp_workers.consumer import api_pace
from rtp_workers.consumer.api_pace import CpuBudget, Pace


class Purse(CpuBudget):
    """A budget that a test fills."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def missing_s(self) -> float:
        return 0.0 if self.left > 0 else 0.001


class Calls:
    """An application that notes who got through, and what was answered."""

    def __init__(self, left: int) -> None:
        self.purse = Purse(left)
        self.through: list[str] = []
        self.answers: list[int] = []
        self.pace = Pace(self._app, self.purse)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.through.append(scope["path"])
        self.purse.left -= 1

    async def call(self, path: str) -> None:
        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.answers.append(message["status"])

        async def receive() -> Any:
            raise AssertionError("nothing to receive")

        await self.pace({"type": "http", "path": path, "method": "GET", "headers": []}, receive, send)


def test_within_the_budget_nobody_waits() -> None:
    calls = Calls(left=2)
    asyncio.run(calls.call("/a"))
    asyncio.run(calls.call("/b"))
    assert calls.through == ["/a", "/b"]


def test_beyond_it_callers_go_in_order_and_health_checks_first() -> None:
    async def run() -> Calls:
        calls = Calls(left=0)
        waiting = [asyncio.create_task(calls.call(path)) for path in ("/a", "/b")]
        await asyncio.sleep(0.01)
        waiting.append(asyncio.create_task(calls.call("/health/ready")))
        await asyncio.sleep(0.01)
        assert calls.through == []
        for number in range(3):
            calls.purse.left = 1
            async with asyncio.timeout(5):
                while len(calls.through) == number:
                    await asyncio.sleep(0.001)
        await asyncio.gather(*waiting)
        return calls

    calls = asyncio.run(run())
    assert calls.through == ["/health/ready", "/a", "/b"]
    assert calls.answers == []


def test_who_waits_too_long_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_pace, "PATIENCE_S", 0.05)
    calls = Calls(left=0)
    asyncio.run(calls.call("/a"))
    assert (calls.through, calls.answers) == ([], [503])


def test_only_so_many_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_pace, "PATIENCE_S", 0.2)
    monkeypatch.setattr(api_pace, "MAX_WAITING", 2)

    async def run() -> Calls:
        calls = Calls(left=0)
        waiting = [asyncio.create_task(calls.call("/a")) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert calls.answers == [503]
        await asyncio.gather(*waiting)
        return calls

    assert asyncio.run(run()).answers == [503, 503, 503]
