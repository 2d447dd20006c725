"""What a refused connection is called. The server's own words come over the wire; nothing else of it is needed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rtp_workers.errors import ConfigError, RtpError, TransientError
from rtp_workers.postgres.connection import connect


@contextmanager
def server_that_says(message: str) -> Iterator[str]:
    """Yields a DSN of something that answers every start of a session with this FATAL message."""
    fields = f"SFATAL\0VFATAL\0C57P03\0M{message}\0\0".encode()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(4_096)
                client.sendall(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"host=127.0.0.1 port={server.getsockname()[1]} sslmode=disable gssencmode=disable user=u dbname=d"
        thread.join()


def refused(message: str) -> RtpError:
    with server_that_says(message) as dsn, pytest.raises(RtpError) as caught:
        connect(dsn, "rtp-test")
    return caught.value


@pytest.mark.parametrize(
    "message",
    [
        "the database system is starting up",
        "the database system is shutting down",
        "the database system is in recovery mode",
        "the database system is not yet accepting connections",
    ],
)
def test_a_server_that_starts_or_stops_is_waited_for(message: str) -> None:
    error = refused(message)
    assert isinstance(error, TransientError)
    assert message in str(error)
    assert "not ready yet" in str(error)
    assert "password" not in str(error)


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("sorry, too many clients already", "max_connections"),
        ("remaining connection slots are reserved for roles with the SUPERUSER attribute", "max_connections"),
        ('password authentication failed for user "u"', "user, password and database"),
        ('database "d" does not exist', "user, password and database"),
        ('role "u" is not permitted to log in', "user, password and database"),
        ("доступ закрыт", "its log says why"),
    ],
)
def test_what_to_do_follows_from_what_the_server_says(message: str, advice: str) -> None:
    assert advice in str(refused(message))


def test_a_pooler_that_drops_settings_is_refused() -> None:
    assert isinstance(refused("unsupported startup parameter: options"), ConfigError)


def test_the_answer_of_a_server_is_shown_where_another_address_of_it_does_not_listen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        silent = closed.getsockname()[1]
    with server_that_says("the database system is starting up") as dsn:
        port = dsn.split("port=")[1].split()[0]
        both = dsn.replace(f"port={port}", f"port={silent},{port}").replace(
            "host=127.0.0.1", "host=127.0.0.1,127.0.0.1"
        )
        with pytest.raises(TransientError, match="starting up"):
            connect(both, "rtp-test")
