"""Server-sent events: sends the newest snapshot to every open page, up to a maximum number of pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi.responses import StreamingResponse

from rtp_workers.web.problems import Problem

MAX_PAGES = 64
INTERVAL_S = 0.5


class EventFeed:
    """Sends ``snapshot()`` to each page every `interval_s`, until `closing()`. One snapshot serves all pages.

    It belongs to the event loop of the server. Nothing runs while no page is open.
    """

    def __init__(
        self,
        snapshot: Callable[[], dict[str, Any]],
        *,
        interval_s: float = INTERVAL_S,
        max_pages: int = MAX_PAGES,
        closing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._snapshot = snapshot
        self._interval_s = interval_s
        self._max_pages = max_pages
        self._closing = closing
        self._pages = 0
        self._latest = b""
        self._taken_at = float("-inf")

    @property
    def pages(self) -> int:
        """How many pages are open now."""
        return self._pages

    def response(self) -> StreamingResponse:
        """Returns the endless answer for one page.

        Raises:
            Problem: 503, if as many pages are open as the feed serves.
        """
        if self._pages >= self._max_pages:
            raise Problem(503, f"{self._max_pages} pages are open already; close one of them")
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[bytes]:
        self._pages += 1
        try:
            yield b"retry: 1000\n\n"
            while not self._closing():
                yield self._event()
                await asyncio.sleep(self._interval_s)
        finally:
            self._pages -= 1

    def _event(self) -> bytes:
        now = asyncio.get_running_loop().time()
        if now - self._taken_at >= self._interval_s * 0.9:
            self._taken_at = now
            self._latest = b"data: " + json.dumps(self._snapshot(), separators=(",", ":")).encode() + b"\n\n"
        return self._latest
