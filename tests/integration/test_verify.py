"""`rtp verify` and `rtp status` on real servers: all agrees after real work, and each kind of damage is seen."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from psycopg2.extensions import parse_dsn

from rtp_workers.errors import ConfigError
from rtp_workers.kafka.topics import delete_topic, ensure_topic
from rtp_workers.local.embedded import EmbeddedServers
from rtp_workers.local.ports import free_port
from rtp_workers.local.postgres_server import PostgresServer
from rtp_workers.local.versions import postgres_version
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.roles import with_database
from rtp_workers.reconcile.status import status
from rtp_workers.reconcile.verify import Verification, verify
from tests.conftest import Stack
from tests.programs import run_rtp, status_with
from tests.reading import query
from tests.records import body, produce
from tests.waiting import wait_until

SILENT = "203.0.113.1"  # documentation range: packets to it go nowhere


def consume(stack: Stack) -> None:
    done = run_rtp("consume", "--no-api", "--until-idle", "1s", env=stack.env)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def stored(stack: Stack) -> Stack:
    """Five rows, one duplicate and one dead letter, written by the real consumer."""
    produce(stack, [body("t1"), body("t2"), body("t1"), b"not json"])
    produce(stack, [body("t3"), body("t4"), body("t5")], kafka_partition=1)
    consume(stack)
    return stack


def check(stack: Stack) -> Verification:
    return verify(stack.endpoints, stack.topic, timeout_s=0)


def test_an_empty_platform_agrees(stack: Stack) -> None:
    found = check(stack)
    assert (found.ok, found.kafka_records, found.rows, found.problems) == (True, 0, 0, [])


def test_every_damage_is_seen(stored: Stack, servers: EmbeddedServers) -> None:
    """Each damage alone, in a copy: one consumer run serves them all."""
    assert servers.postgres is not None
    good = check(stored)
    assert good == Verification(True, 7, 5, 1, 1, 0, 5, [])
    damages = [
        ("delete from transactions where transaction_id = 't1'", "transactions has 4 rows, the ledger says 5"),
        (
            "insert into transactions (transaction_id, occurred_at, amount, source, kafka_partition, kafka_offset) "
            "values ('forged', now(), 1, 'live', 0, 0)",
            "1 were written by something other",
        ),
        (
            "update transactions set kafka_offset = 999 where transaction_id = 't1'",
            "1 rows come from offsets that no ledger row covers",
        ),
        ("delete from dead_letters", "dead_letters has 0 rows, the ledger says 1"),
        (
            "update ingest_ledger set inserted = inserted + 1, duplicates = duplicates - 1 where duplicates > 0",
            "transactions has 5 rows, the ledger says 6",
        ),
        (
            "alter table ingest_ledger drop constraint ingest_ledger_balances; "
            "update ingest_ledger set skipped = skipped + 1 where kafka_partition = 1",
            "3 offsets, but 4 accounted for",
        ),
        (
            "update ingest_ledger set next_offset = next_offset + 5, skipped = 5 where kafka_partition = 1",
            "beyond the log's end 3",
        ),
        ("delete from ingest_ledger where kafka_partition = 1", "partition 1: 3 records up to offset 3 are not in"),
        ("alter table transactions drop constraint transactions_pkey", "the primary key of transactions"),
        (
            "alter table transactions drop constraint transactions_pkey; "
            "alter table transactions add constraint transactions_pkey primary key (transaction_id, amount)",
            "the primary key of transactions",
        ),
        (
            "update pg_index set indisvalid = false where indexrelid = 'transactions_pkey'::regclass",
            "the primary key of",
        ),
        ("insert into purges (criteria, purged_rows, purged_dead_letters) values ('{}', 1, 0)", "the ledger says 4"),
        (
            "insert into log_holes (topic_id, kafka_partition, from_offset, to_offset) "
            "select topic_id, 0, 4, 9 from ingest_ledger limit 1",
            "Kafka deleted offsets 4 to 9",
        ),
    ]
    for damage, expected in damages:
        problems = damaged_then_undone(stored, servers.postgres, damage)
        assert any(expected in problem for problem in problems), (damage, problems)
    assert check(stored) == good


def damaged_then_undone(stack: Stack, postgres: PostgresServer, damage: str) -> list[str]:
    """Damages a copy of the stack's database, and returns what verify says of it."""
    original = parse_dsn(stack.endpoints.need("postgres_dsn"))["dbname"]
    copy = f"{original}_damaged"
    superuser = with_database(postgres.superuser_dsn, copy)
    run(postgres.superuser_dsn, f'create database "{copy}" template "{original}" owner rtp_owner')
    try:
        run(superuser, damage)
        dsn = with_database(stack.endpoints.need("postgres_read_dsn"), copy)
        return check(replace(stack, endpoints=replace(stack.endpoints, postgres_read_dsn=dsn))).problems
    finally:
        run(postgres.superuser_dsn, f'drop database "{copy}" with (force)')


def run(dsn: str, statement: str) -> None:
    connection = connect(dsn, "rtp-test", autocommit=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def test_damage_ends_the_command_with_1(stored: Stack) -> None:
    good = run_rtp("verify", "--json", env=stored.env)
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout) == {
        "ok": True,
        "kafka_records": 7,
        "inserted": 5,
        "duplicates": 1,
        "dead_lettered": 1,
        "skipped": 0,
        "rows": 5,
        "problems": [],
    }
    query(stored, "delete from transactions where transaction_id = 't1'")
    bad = run_rtp("verify", env=stored.env)
    assert bad.returncode == 1
    assert "1 were deleted by something other" in bad.stdout


def test_a_ledger_that_does_not_reach_the_end_in_time_is_a_problem(stack: Stack) -> None:
    produce(stack, [body("t1")])
    started = time.monotonic()
    late = run_rtp("verify", "--timeout", "500ms", "--json", env=stack.env)
    assert time.monotonic() - started < 60
    assert late.returncode == 1
    found = json.loads(late.stdout)
    assert (found["ok"], found["kafka_records"], found["rows"]) == (False, 1, 0)
    assert "partition 0: 1 records up to offset 1" in found["problems"][0]
    assert any("no consumer is running" in problem for problem in found["problems"])
    told = status_with(lambda found: found["why_waiting"], stack.env)
    assert any("no consumer is running" in why for why in told["why_waiting"])
    consume(stack)
    assert check(stack).ok


def test_a_pause_is_named_as_the_reason(stack: Stack) -> None:
    produce(stack, [body("t1")])
    assert run_rtp("pause", "--reason", "a holiday", env=stack.env).returncode == 0
    assert any("paused (a holiday); `rtp resume`" in problem for problem in check(stack).problems)


def test_verify_waits_for_the_ledger(stack: Stack) -> None:
    produce(stack, [body("t1")])
    seen: list[int] = []
    thread = Thread(target=consume, args=(stack,))

    def waits(records: int) -> None:
        if not seen:
            thread.start()
        seen.append(records)

    found = verify(stack.endpoints, stack.topic, timeout_s=60, on_wait=waits)
    thread.join()
    assert (found.ok, found.rows) == (True, 1)
    assert set(seen) == {1}


def test_rows_of_a_deleted_topic_count_on_the_tables_side_only(stored: Stack) -> None:
    delete_topic(stored.endpoints, stored.topic)
    with pytest.raises(ConfigError, match="does not exist"):
        check(stored)
    ensure_topic(stored.endpoints, stored.topic)
    produce(stored, [body("t6")])
    consume(stored)
    found = check(stored)
    assert (found.ok, found.kafka_records, found.inserted, found.rows) == (True, 1, 1, 6)


def test_status_tells_rows_lag_and_dead_letters(stored: Stack) -> None:
    produce(stored, [body("t6"), body("t7")], kafka_partition=3)
    found = status_with(lambda found: found["lag"] is not None, stored.env)
    assert found["kafka"]["up"] is True
    assert found["postgres"]["up"] is True
    assert found["postgres"]["version"] == postgres_version()
    assert found["kafka"]["version"] is None, "Kafka tells no client which version it is"
    assert [found[part]["up"] for part in ("producer", "consumer")] == [False, False]
    assert (found["rows"], found["dead_letters"], found["lag"]) == (5, 1, 2)
    assert found["lag_by_partition"] == {"0": 0, "1": 0, "2": 0, "3": 2, "4": 0, "5": 0}


def test_status_shows_a_table_with_the_partitions_that_lag(stored: Stack) -> None:
    produce(stored, [body("t6")], kafka_partition=3)

    def table() -> str:
        shown = run_rtp("status", env={**stored.env, "COLUMNS": "120"})
        return shown.stdout if shown.returncode == 0 and "partition 3" in shown.stdout else ""

    assert "down" in wait_until(table, 60, "the lag of partition 3")


def test_status_of_a_platform_that_is_away_comes_in_seconds(stack: Stack) -> None:
    """Refused connections, and an address that never answers: each costs no more than one probe."""
    nowhere = f"127.0.0.1:{free_port()}"
    dsn = f"postgresql://rtp_read:x@{SILENT}:5432/rtp"
    away = replace(
        stack.endpoints, kafka_bootstrap=nowhere, postgres_read_dsn=dsn, consumer_url=f"http://{SILENT}:8002"
    )
    started = time.monotonic()
    found = status(away, stack.topic)
    assert time.monotonic() - started < 60  # the silent parts get 6 s, all at once
    assert [found[part]["up"] for part in ("kafka", "postgres", "producer", "consumer")] == [False] * 4
    assert (found["lag"], found["rows"], found["dead_letters"]) == (None, None, None)


class Answering(BaseHTTPRequestHandler):
    """A service that is alive but not ready."""

    def do_GET(self) -> None:
        self.send_response(503 if self.path == "/health/ready" else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keeps quiet."""


@pytest.fixture
def alive_not_ready() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_status_tells_a_service_that_is_up_but_not_ready(stack: Stack, alive_not_ready: str) -> None:
    there = replace(stack.endpoints, producer_url=alive_not_ready, dagster_url=alive_not_ready)

    def answered() -> dict[str, Any] | None:
        found = status(there, stack.topic)
        return found if found["producer"]["up"] and found["dagster"]["up"] else None

    found = wait_until(answered, 60, "answers of both services")
    assert found is not None
    assert found["producer"] == {"up": True, "busy": False, "detail": "not ready: see /health/ready"}
    assert found["dagster"] == {"up": True, "busy": False, "detail": None}
