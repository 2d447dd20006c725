"""A thousand HTTP clients for one service: most ask politely, some hold pages open, some never read, some never ask.

``python -m bench.api_clients HOST PORT [CLIENTS]`` prints ``ready`` once all are connected, and runs until it is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Awaitable, Callable

CONNECTIONS = 1_000
PAGES, DEAF, DAWDLERS = 40, 40, 40
ASK_EVERY_S = 5.0
PATHS = ("/status", "/transactions?limit=50", "/dead-letters", "/metrics", "/history", "/health/ready")

Client = Callable[[str, int], Awaitable[None]]


def head(path: str, host: str) -> bytes:
    """Returns a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


async def polite(host: str, port: int, start_s: float, connected: Callable[[], None]) -> None:
    """Asks every `ASK_EVERY_S` over one connection and reads the answer."""
    reader, writer = await asyncio.open_connection(host, port)
    connected()
    await asyncio.sleep(start_s)
    for path in itertools.cycle(PATHS):
        writer.write(head(path, host))
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ASK_EVERY_S):
                while await reader.read(65_536):
                    pass
                return


async def page(host: str, port: int, connected: Callable[[], None]) -> None:
    """Keeps /events open and reads it."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(head("/events", host))
    connected()
    while await reader.read(65_536):
        pass


async def deaf(host: str, port: int, connected: Callable[[], None]) -> None:
    """Asks for much, again and again, and reads nothing."""
    reader, writer = await asyncio.open_connection(host, port, limit=1_024)
    connected()
    while not reader.at_eof():
        writer.write(head("/transactions?limit=1000", host))
        await asyncio.sleep(1)


async def dawdler(host: str, port: int, connected: Callable[[], None]) -> None:
    """Sends a byte of a request a second."""
    _, writer = await asyncio.open_connection(host, port)
    connected()
    for byte in itertools.cycle(b"GET /status"):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


async def again(client: Callable[[Callable[[], None]], Awaitable[None]], connected: Callable[[], None]) -> None:
    """Restarts a client whenever the service has closed its connection."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await client(connected)
        await asyncio.sleep(1)


async def run(host: str, port: int, count: int = CONNECTIONS) -> None:
    """Keeps all of them going. Of fewer clients, the same shares are of each kind."""
    open_ones = itertools.count(1)

    def connected() -> None:
        if next(open_ones) == count:
            print("ready", flush=True)

    pages, deaf_ones, dawdlers = (kind * count // CONNECTIONS for kind in (PAGES, DEAF, DAWDLERS))
    asking = count - pages - deaf_ones - dawdlers
    clients = [
        *(again(lambda note: page(host, port, note), connected) for _ in range(pages)),
        *(again(lambda note: deaf(host, port, note), connected) for _ in range(deaf_ones)),
        *(again(lambda note: dawdler(host, port, note), connected) for _ in range(dawdlers)),
        *(
            again(lambda note, at=number / asking * ASK_EVERY_S: polite(host, port, at, note), connected)  # type: ignore[misc] # mypy cannot infer a lambda with a default
            for number in range(asking)
        ),
    ]
    await asyncio.gather(*clients)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], *map(int, sys.argv[2:])))
