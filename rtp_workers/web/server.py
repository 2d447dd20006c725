"""The HTTP server in its own thread. Every wait for a client has a time limit."""

from __future__ import annotations

import asyncio
import resource
import socket
import threading
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from rtp_workers import logs
from rtp_workers.errors import ConfigError, FatalError
from rtp_workers.web.problems import MEDIA_TYPE, problem_body

HEAD_TIMEOUT_S = 10.0
READER_TIMEOUT_S = 20.0
KEEP_ALIVE_S = 30
GRACE_S = 3
START_TIMEOUT_S = 15.0
MAX_CONNECTIONS = 4_000
SPARE_DESCRIPTORS = 128  # kept for Kafka, files and the listening socket
MAX_HEAD_BYTES = 32_768
FEED_PATH = "/events"

log = logs.get(__name__)


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection if its client sends a request head too slowly, or does not read answers."""

    max_connections = MAX_CONNECTIONS
    head_timeout_s = HEAD_TIMEOUT_S
    reader_timeout_s = READER_TIMEOUT_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own does
        """Starts the clock for the first request."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.abort()
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clocks."""
        self._stop_head_timer()
        self._stop_reader_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Handles the data. While a request head is incomplete, the clock runs, even if more of it keeps arriving."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_head_timer()
        elif self._head_timer is None and not self.transport.is_closing():
            self._wait_for_head()

    def send_400_response(self, msg: str) -> None:
        """Answers data that is not HTTP with a problem, and closes the connection."""
        body = problem_body(400, "this is not a valid HTTP/1.1 request")
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        try:
            head = self.conn.send(h11.Response(status_code=400, headers=headers, reason=b"Bad Request"))
            self.transport.write((head or b"") + (self.conn.send(h11.Data(data=body)) or b""))
        except h11.LocalProtocolError:
            pass  # an answer had begun already: closing is all that is left
        self.transport.close()

    def shutdown(self) -> None:
        """When the server stops, lets a running answer finish, except a live feed, which never ends."""
        if self.scope is not None and self.scope["path"] == FEED_PATH:
            self.transport.close()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """Starts the clock for a client that does not read."""
        super().pause_writing()
        self._reader_timer = self.loop.call_later(self.reader_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Stops that clock."""
        self._stop_reader_timer()
        super().resume_writing()

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_s, self.transport.abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_reader_timer(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None


class WebServer:
    """Serves one application from a daemon thread until `stop`."""

    def __init__(self, app: FastAPI, host: str, port: int, *, port_setting: str) -> None:
        """Takes the port at once, so that a taken one is reported before anything else starts.

        Args:
            app: what to serve.
            host: address to bind to.
            port: 0 takes a free one; see `port`.
            port_setting: name of the setting that chooses the port, for the error.

        Raises:
            ConfigError: the port is taken, or the address is not one of this machine.
        """
        _raise_descriptor_limit()
        self._socket = _listen(host, port, port_setting)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=2_048,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Starts serving and returns once requests are answered.

        Raises:
            FatalError: it does not answer within 15 s.
        """
        self._thread.start()
        deadline = START_TIMEOUT_S
        while not self._server.started:
            self._thread.join(0.02)
            deadline -= 0.02
            if deadline < 0 or not self._thread.is_alive():
                raise FatalError(f"the HTTP server did not start on port {self.port}; the log says why")

    def connections(self) -> int:
        """Returns how many connections are open."""
        return len(self._server.server_state.connections)

    def stop(self) -> None:
        """Stops accepting requests, gives those under way 3 s to finish, and returns. Harmless before `start`."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(GRACE_S + 5)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])
        log.debug("web_server_stopped", port=self.port)


def _listen(host: str, port: int, port_setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, because asyncio otherwise does not set TCP_NODELAY, and every answer waits 40 ms for a delayed ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2_048)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host}:{port} ({error.strerror}); stop the program that uses it, "
            f"or choose another port with {port_setting} or another address with RTP_BIND_HOST"
        ) from error
    listener.setblocking(False)
    return listener


def _raise_descriptor_limit() -> None:
    """Lets the process hold MAX_CONNECTIONS, as far as its hard limit allows; beyond that connections are closed."""
    wanted = MAX_CONNECTIONS + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    BoundedProtocol.max_connections = max(16, min(MAX_CONNECTIONS, soft - SPARE_DESCRIPTORS))
