"""Breaking off a write that hangs, from another thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from rtp_workers.errors import RtpError
from rtp_workers.postgres.batch import Batch
from rtp_workers.postgres.batch_writer import BatchWriter
from rtp_workers.postgres.connection import ConnectionLostError, connect
from tests.conftest import Stack
from tests.tcp_proxy import TcpProxy
from tests.waiting import wait_until

EMPTY = Batch("transactions", "some-topic-id")


@pytest.fixture
def writer(stack: Stack) -> Iterator[BatchWriter]:
    writer = BatchWriter(stack.endpoints.need("postgres_ingest_dsn"))
    yield writer
    writer.close()


def test_a_write_that_hangs_before_its_first_statement_can_be_broken_off(stack: Stack, writer: BatchWriter) -> None:
    """A lock on the table holds up the staging table, which is made right after connecting."""
    outcome: list[RtpError] = []

    def write() -> None:
        try:
            writer.write(EMPTY)
        except RtpError as error:
            outcome.append(error)

    thread = threading.Thread(target=write, daemon=True)
    with connect(stack.endpoints.need("postgres_dsn"), "rtp-test") as other, other.cursor() as cursor:
        cursor.execute("lock table transactions in access exclusive mode")
        thread.start()
        wait_until(lambda: writer.backend_pid is not None, what="the writer's connection")
        writer.abort()
        thread.join(30)
        assert [type(error) for error in outcome] == [ConnectionLostError]
        other.rollback()
    other.close()
    assert writer.write(EMPTY) == {}


def test_breaking_off_a_connection_that_is_gone_already_does_no_harm(stack: Stack) -> None:
    dsn = stack.endpoints.need("postgres_ingest_dsn")
    server = parse_dsn(dsn)
    with TcpProxy((server["host"], int(server["port"]))) as proxy:
        writer = BatchWriter(make_dsn(dsn, port=proxy.port))
        writer.abort()
        writer.write(EMPTY)
        proxy.cut()
        wait_until(lambda: proxy.connections == 0, what="the reset")
        writer.abort()
        with pytest.raises(ConnectionLostError):
            writer.write(EMPTY)
        assert writer.write(EMPTY) == {}
        writer.close()
        writer.abort()
