"""Somebody's open ALTER TABLE or LOCK: commands end in their time, and say who is in the way."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator

import psycopg2
import pytest

from rtp_workers.postgres.bounded import BusyError
from rtp_workers.postgres.connection import Connection, connect
from rtp_workers.reconcile.status import status
from rtp_workers.reconcile.verify import verify
from tests.conftest import Stack
from tests.programs import run_rtp, status_with
from tests.reading import query
from tests.waiting import wait_until

# Ten times what is promised, for a machine with much else to do; the lock is held for as long as the test runs.
MUCH_LATER_S = 60


@pytest.fixture
def locker(stack: Stack) -> Iterator[Connection]:
    connection = connect(stack.endpoints.need("postgres_dsn"), "somebody's psql")
    with connection.cursor() as cursor:
        cursor.execute("lock table transactions, ingest_ledger in access exclusive mode")
    yield connection
    connection.close()


def holder(locker: Connection) -> str:
    return rf"locked by pid {locker.info.backend_pid} \(somebody's psql, since 20\d\d-[-\d]+ [:\d]+ UTC\)"


def test_verify_ends_in_its_time_and_names_the_holder(stack: Stack, locker: Connection) -> None:
    started = time.monotonic()
    done = run_rtp("verify", "--timeout", "2s", env=stack.env, timeout_s=MUCH_LATER_S)
    assert done.returncode == 1
    assert re.search(holder(locker), done.stderr), done.stderr
    assert "read the ledger" in done.stderr
    assert time.monotonic() - started < MUCH_LATER_S


def test_verify_says_which_part_it_could_not_read(stack: Stack, locker: Connection) -> None:
    with locker.cursor() as cursor:
        cursor.execute("rollback; begin; lock table transactions in access exclusive mode")
    with pytest.raises(BusyError, match="count the tables: not done within"):
        verify(stack.endpoints, stack.topic, timeout_s=0)


def test_status_tells_busy_from_down(stack: Stack, locker: Connection) -> None:
    found = status(stack.endpoints, stack.topic)["postgres"]
    assert (found["up"], found["busy"]) == (True, True), found
    assert re.match(f"busy: {holder(locker)}", found["detail"]), found
    status_with(lambda found: found["postgres"]["busy"], stack.env)


def test_the_one_at_the_head_of_a_queue_of_waiters_is_named_first(stack: Stack) -> None:
    owner = stack.endpoints.need("postgres_dsn")
    idle, waiting = connect(owner, "idle in transaction"), connect(owner, "waiting alter")
    try:
        with idle.cursor() as cursor:
            cursor.execute("select count(*) from ingest_ledger")
        send_without_waiting(stack, waiting, "lock table ingest_ledger in access exclusive mode")
        with pytest.raises(BusyError) as caught:
            verify(stack.endpoints, stack.topic, timeout_s=0)
        named = re.findall(r"pid \d+ \(([^,]+), since", str(caught.value))
        assert named == ["idle in transaction", "waiting alter"]
        assert f"pg_terminate_backend({idle.info.backend_pid})" in str(caught.value)
    finally:
        idle.close()
        waiting.close()


def test_the_server_does_not_keep_a_statement_that_nobody_waits_for(stack: Stack, locker: Connection) -> None:
    with pytest.raises(BusyError):
        verify(stack.endpoints, stack.topic, timeout_s=0)
    left = "select 1 from pg_stat_activity where application_name = 'rtp-verify' and datname = current_database()"
    wait_until(lambda: not query(stack, left), timeout_s=MUCH_LATER_S, what="the end of the statement")


def send_without_waiting(stack: Stack, connection: Connection, statement: str) -> None:
    """Sends a statement that will wait for a lock, from a thread that ends with the connection."""

    def run() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        except psycopg2.Error:
            return

    threading.Thread(target=run, daemon=True).start()
    waits = "select 1 from pg_stat_activity where pid = %s and wait_event_type = 'Lock'"
    wait_until(lambda: query(stack, waits, connection.info.backend_pid), timeout_s=MUCH_LATER_S, what="the wait")
