"""A loopback TCP proxy that a test can make slow, deaf or dead: faults of a network, without any privilege.

with TcpProxy(("127.0.0.1", port)) as proxy:
    dsn = f"postgresql://...@127.0.0.1:{proxy.port}/rtp"
    proxy.drop_replies()      # requests arrive, their answers are lost
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from types import TracebackType

CHUNK_BYTES = 65_536
# RST instead of FIN on close: what a cut cable or the kernel of a dead peer looks like.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Faults:
    """What is wrong at the moment.

    Attributes:
        delay_s: each chunk is held back for so long, in each direction.
        bytes_per_s: no more than that get through, in each direction of a connection; None: no limit.
        drop_requests, drop_replies: that direction is swallowed.
        refuse: new connections are reset.
    """

    delay_s: float = 0.0
    bytes_per_s: float | None = None
    drop_requests: bool = False
    drop_replies: bool = False
    refuse: bool = False


class TcpProxy:
    """Forwards every connection to `target`. Its controls may be called from any thread."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self._faults = Faults()
        self._lock = threading.Lock()
        self._open: list[tuple[socket.socket, socket.socket]] = []
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._acceptor = threading.Thread(target=self._accept, name="tcp-proxy", daemon=True)

    @property
    def port(self) -> int:
        """Where clients connect."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """How many connections are open through the proxy."""
        with self._lock:
            return len(self._open)

    def slow(self, delay_s: float, bytes_per_s: float | None = None) -> None:
        """Holds every chunk back for `delay_s`, and lets no more than `bytes_per_s` through, in each direction."""
        self._faults = Faults(delay_s=delay_s, bytes_per_s=bytes_per_s)

    def drop_replies(self) -> None:
        """Lets requests through and swallows what the server answers."""
        self._faults = Faults(drop_replies=True)

    def half_open(self) -> None:
        """Swallows both directions and closes nothing: the peer is gone and nobody said so."""
        self._faults = Faults(drop_requests=True, drop_replies=True)

    def refuse(self) -> None:
        """Resets new connections; open ones live on."""
        self._faults = Faults(refuse=True)

    def cut(self) -> None:
        """Resets every open connection; new ones fare as before."""
        with self._lock:
            ends, self._open = self._open, []
        for client, server in ends:
            _reset(client)
            _reset(server)

    def heal(self) -> None:
        """Ends every fault. Connections that lost bytes are reset, since their streams have a hole."""
        broken = self._faults.drop_requests or self._faults.drop_replies
        self._faults = Faults()
        if broken:
            self.cut()

    def __enter__(self) -> TcpProxy:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        self.cut()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._faults.refuse:
                    raise ConnectionRefusedError("the proxy refuses")
                server = socket.create_connection(self.target, timeout=5)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.append((client, server))
            for source, target, is_reply in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._forward, args=(source, target, is_reply), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, is_reply: bool) -> None:
        """Moves bytes one way until an end closes; then both ends close, unless the fault is to say nothing."""
        try:
            while chunk := source.recv(CHUNK_BYTES):
                faults = self._faults
                pause_s = faults.delay_s + (len(chunk) / faults.bytes_per_s if faults.bytes_per_s else 0)
                if pause_s:
                    self._stopping.wait(pause_s)
                if not (self._faults.drop_replies if is_reply else self._faults.drop_requests):
                    target.sendall(chunk)
        except OSError:
            pass  # the other direction, or cut(), closed it
        if self._faults.drop_replies and self._faults.drop_requests:
            return
        with self._lock:
            self._open = [ends for ends in self._open if source not in ends]
        _reset(source)
        _reset(target)


def _reset(end: socket.socket) -> None:
    """Closes at once; wakes a thread that reads from it."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        end.shutdown(socket.SHUT_RD)
    end.close()
