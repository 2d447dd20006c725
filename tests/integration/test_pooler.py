"""A connection pooler in transaction mode is found out at the start and refused with a sentence."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from rtp_workers.local import ports
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.pooling import PooledSessionError
from tests.conftest import Stack
from tests.programs import run_rtp
from tests.waiting import wait_until

CONFIG = """
[databases]
* = host={host} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = {mode}
{more}
"""
IGNORES = "ignore_startup_parameters = options"


@contextmanager
def pooled(stack: Stack, mode: str, more: str) -> Iterator[str]:
    """Runs PgBouncer between us and the stack's database; yields the ingest role's DSN through it."""
    dsn = stack.endpoints.need("postgres_ingest_dsn")
    server = parse_dsn(dsn)
    folder, port = stack.home / "pgbouncer", ports.free_port()
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "users").write_text(f'"{server["user"]}" "{server["password"]}"\n')
    text = CONFIG.format(
        host=server["host"], server_port=server["port"], port=port, folder=folder, mode=mode, more=more
    )
    (folder / "ini").write_text(text)
    command = ["pgbouncer", "-u", "nobody", str(folder / "ini")]
    pooler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: not ports.is_free(port), 60, "the pooler")
        yield make_dsn(dsn, port=port)
    finally:
        pooler.kill()
        pooler.wait()


def test_a_pooler_in_transaction_mode_is_refused_by_everything(stack: Stack) -> None:
    with pooled(stack, "transaction", IGNORES) as dsn:
        with pytest.raises(PooledSessionError, match="transaction mode"):
            connect(dsn, "rtp-test")
        env = {**stack.env, "RTP_POSTGRES_INGEST_DSN": dsn}
        consumer = run_rtp("consume", "--no-api", env=env)
        assert consumer.returncode == 2
        assert "connection pooler in transaction mode" in consumer.stderr
        assert "transaction mode" in run_rtp("doctor", "--json", env=env).stdout


def test_a_pooler_in_session_mode_works(stack: Stack) -> None:
    with pooled(stack, "session", IGNORES) as dsn:
        connect(dsn, "rtp-test").close()


def test_a_pooler_that_refuses_our_options_is_named(stack: Stack) -> None:
    with pooled(stack, "transaction", "") as dsn, pytest.raises(PooledSessionError, match="pooler"):
        connect(dsn, "rtp-test")
