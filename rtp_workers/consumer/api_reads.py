"""The API's access to PostgreSQL: a few threads, short statements, and one read per second for all clients together."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rtp_workers import logs
from rtp_workers.errors import RtpError, TransientError
from rtp_workers.postgres.connection import Connection, connect

APPLICATION_NAME = "rtp-consumer-api"
READ_ONLY = "-c statement_timeout=1s -c lock_timeout=1s -c default_transaction_read_only=on"
CHANGING = "-c statement_timeout=5s -c lock_timeout=2s"
MAX_WAITING = 32

log = logs.get(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Job:
    """Work for a thread, and where its outcome goes."""

    work: Callable[[Connection], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]

    def settle(self, result: Any, error: Exception | None) -> None:
        """Passes the outcome to whoever awaits it. Called on the thread."""
        try:
            self.loop.call_soon_threadsafe(self._settle, result, error)
        except RuntimeError:
            return  # the server has stopped meanwhile, so nobody waits any more

    def _settle(self, result: Any, error: Exception | None) -> None:
        if self.future.done():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class ConnectionThreads:
    """Runs work on a fixed number of threads. Each has its own connection, which opens when it is first needed.

    The threads are daemons: work that hangs in a dead connection does not keep the process alive.

    Args:
        dsn: connects as role rtp_ingest.
        options: server settings for the sessions.
        threads: how many pieces of work run at the same time.
    """

    def __init__(self, dsn: str, options: str, threads: int) -> None:
        self._dsn = dsn
        self._options = options
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._serve, name=f"api-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def run(self, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Queues work. Call it, and await its future, on an event loop.

        Raises:
            TransientError: too much work waits already.
        """
        if self._jobs.qsize() >= MAX_WAITING:
            raise TransientError("too many requests wait for PostgreSQL; send this one again a little later")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, loop, future))
        return future

    def close(self) -> None:
        """Ends the threads once their current work is done. Does not wait for them."""
        for _ in self._threads:
            self._jobs.put(None)

    def _serve(self) -> None:
        connection: Connection | None = None
        while (job := self._jobs.get()) is not None:
            try:
                if connection is None or connection.closed:
                    connection = connect(self._dsn, APPLICATION_NAME, autocommit=True, options=self._options)
                result = job.work(connection)
            except Exception as error:  # noqa: BLE001 - handed to whoever awaits the future
                job.settle(None, error)
                if connection is not None:
                    connection.close()
            else:
                job.settle(result, None)
        if connection is not None:
            connection.close()


class Cached(Generic[T]):
    """A read that runs at most once per `max_age_s`, however many ask. Belongs to one event loop.

    Args:
        threads: the threads on which it runs.
        read: reads the answer, which is never None.
        max_age_s: how old an answer may be; also the pause after a failure.
        cost_factor: an answer that took t seconds is kept for at least t times this factor.

    Attributes:
        trouble: why the last read failed, or None.
    """

    def __init__(
        self, threads: ConnectionThreads, read: Callable[[Connection], T], max_age_s: float, cost_factor: float = 0.0
    ) -> None:
        self._threads = threads
        self._read = read
        self._max_age_s = max_age_s
        self._cost_factor = cost_factor
        self._due_at = float("-inf")
        self._running: asyncio.Future[T] | None = None
        self._value: T | None = None
        self.trouble: str | None = None

    def peek(self) -> T | None:
        """Returns what was read last (None: nothing yet), and starts another read if one is due. Never waits."""
        if self._running is None and time.monotonic() >= self._due_at:
            self._start()
        return self._value

    async def get(self) -> T:
        """Returns an answer that is not older than allowed.

        Raises:
            TransientError: PostgreSQL is away, or refuses.
        """
        value = self.peek()
        if self._running is not None:
            await asyncio.wait([self._running])
            value = self._value
        if self.trouble is not None or value is None:
            raise TransientError(self.trouble or "nothing has been read yet; ask again")
        return value

    def expire(self) -> None:
        """Drops the answer, so that the next call reads again."""
        self._due_at = float("-inf")

    def _start(self) -> None:
        started_at = time.monotonic()
        self._due_at = started_at + self._max_age_s
        try:
            future = self._threads.run(self._read)
        except TransientError as error:
            self.trouble = str(error)
            return
        self._running = future
        future.add_done_callback(lambda done: self._finish(done, started_at))

    def _finish(self, done: asyncio.Future[T], started_at: float) -> None:
        self._running = None
        if done.cancelled():
            return
        now = time.monotonic()
        self._due_at = max(self._due_at, now + (now - started_at) * self._cost_factor)
        error = done.exception()
        if error is None:
            self._value, self.trouble = done.result(), None
            return
        self.trouble = str(error)
        if not isinstance(error, RtpError):
            log.error("read_failed", exc_info=error)
