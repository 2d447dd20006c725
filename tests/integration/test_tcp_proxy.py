"""The fault proxy does what the fault tests take for granted."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.tcp_proxy import TcpProxy
from tests.waiting import wait_until


@pytest.fixture
def echo() -> Iterator[TcpProxy]:
    """A proxy before a server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve_one(connection: socket.socket) -> None:
        with connection:
            try:
                while chunk := connection.recv(65_536):
                    connection.sendall(chunk)
            except OSError:
                return

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve_one, args=(connection,), daemon=True).start()

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    with TcpProxy(listener.getsockname()) as proxy:
        yield proxy
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    server.join()


def client_of(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def test_bytes_pass_unchanged_both_ways(echo: TcpProxy) -> None:
    sent = bytes(range(256)) * 4_000
    with client_of(echo) as client:
        writer = threading.Thread(target=client.sendall, args=(sent,))
        writer.start()
        received = b""
        while len(received) < len(sent):
            received += client.recv(65_536)
        writer.join()
    assert received == sent


def test_a_delay_holds_each_direction_back(echo: TcpProxy) -> None:
    echo.slow(0.2)
    with client_of(echo) as client:
        start = time.monotonic()
        client.sendall(b"ping")
        assert client.recv(10) == b"ping"
        assert time.monotonic() - start >= 0.4


def test_dropped_replies_never_arrive_and_healing_resets_the_connection(echo: TcpProxy) -> None:
    with client_of(echo) as client:
        echo.drop_replies()
        client.sendall(b"ping")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(10)
        echo.heal()
        client.settimeout(10)
        with pytest.raises(ConnectionResetError):
            client.recv(10)


def test_a_half_open_connection_stays_open_and_silent(echo: TcpProxy) -> None:
    with client_of(echo) as client:
        client.sendall(b"a")
        assert client.recv(1) == b"a"
        echo.half_open()
        client.sendall(b"b")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert echo.connections == 1


def test_a_cut_resets_what_is_open_and_lets_new_ones_in(echo: TcpProxy) -> None:
    with client_of(echo) as client:
        wait_until(lambda: echo.connections == 1)
        echo.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with client_of(echo) as client:
        client.sendall(b"a")
        assert client.recv(1) == b"a"


def test_refused_connections_are_reset_until_healed(echo: TcpProxy) -> None:
    echo.refuse()
    with pytest.raises(ConnectionResetError), client_of(echo) as client:
        client.recv(1)
    echo.heal()
    with client_of(echo) as client:
        client.sendall(b"a")
        assert client.recv(1) == b"a"
