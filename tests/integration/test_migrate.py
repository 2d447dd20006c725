"""Migrations on a real server: idempotent, two at once, drift told, and nobody else's tables touched."""

from __future__ import annotations

import json
import threading

import pytest
from alembic import command

from rtp_workers.errors import ConfigError, RtpError
from rtp_workers.postgres import migrate as schema
from rtp_workers.postgres.account import snapshot
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.migrate import current, drift, migrate, pending
from rtp_workers.reconcile import balance
from tests.conftest import Stack
from tests.programs import run_rtp
from tests.reading import query

ALL = [path.name[:4] for path in sorted(schema.MIGRATIONS.glob("[0-9]*.sql"))]
HEAD = ALL[-1]


@pytest.fixture
def owner_dsn(stack: Stack) -> str:
    return stack.endpoints.need("postgres_dsn")


@pytest.fixture
def empty(stack: Stack) -> Stack:
    """The stack's database with nothing of ours in it."""
    query(stack, "drop schema public cascade; create schema public; revoke all on schema public from public")
    return stack


def test_a_migrated_database_is_left_as_it_is(stack: Stack, owner_dsn: str) -> None:
    assert migrate(owner_dsn) == []
    assert (current(owner_dsn), pending(owner_dsn), drift(owner_dsn)) == (HEAD, [], [])


def test_an_empty_database_is_migrated_once_by_two_at_once(empty: Stack, owner_dsn: str) -> None:
    assert (current(owner_dsn), pending(owner_dsn)) == (None, ALL)
    assert drift(owner_dsn) == ["nothing is migrated yet: run `rtp migrate`"]
    done: list[list[str] | RtpError] = []

    def run() -> None:
        try:
            done.append(migrate(owner_dsn))
        except RtpError as error:
            done.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done, key=str) in ([ALL, [], []], [[], [], ALL])
    assert drift(owner_dsn) == []
    query(empty, "select * from transactions", dsn="postgres_ingest_dsn")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("alter table transactions drop column merchant", "column transactions.merchant is missing"),
        ("alter table transactions alter column status type varchar(9)", "transactions.status is character varying(9)"),
        ("alter table transactions alter column source drop not null", "column transactions.source is text"),
        ("alter table transactions drop constraint amount_range", "constraint transactions.amount_range is missing"),
        (
            "alter table transactions drop constraint transactions_pkey",
            "transactions.transactions_pkey is missing",
        ),
        ("drop index transactions_ingested_at", "index transactions.transactions_ingested_at is missing"),
        ("drop table purges", "table purges is missing"),
        ("alter table transactions add column mine int not null", "column transactions.mine is not ours"),
        ("alter table transactions add constraint mine check (amount > 0)", "constraint transactions.mine is not ours"),
        (
            "create trigger mine before update on transactions execute function suppress_redundant_updates_trigger()",
            "trigger transactions.mine is not ours",
        ),
        (
            "alter table transactions drop constraint currency_code; "
            "alter table transactions add constraint currency_code check (currency ~ '^[A-Z]{4}$')",
            "it should be CHECK ((currency ~ '^[A-Z]{3}$'::text))",
        ),
    ],
)
def test_drift_is_named(stack: Stack, owner_dsn: str, damage: str, expected: str) -> None:
    query(stack, damage)
    found = drift(owner_dsn)
    assert any(expected in sentence for sentence in found), found
    assert query(stack, "select 1 from pg_namespace where nspname = %s", schema.SCRATCH_SCHEMA) == []


def test_a_database_of_the_first_revision_is_migrated_without_loss(empty: Stack, owner_dsn: str) -> None:
    with schema._alembic(owner_dsn) as (config, _):
        command.upgrade(config, "0001")
    query(
        empty,
        "insert into transactions (transaction_id, occurred_at, amount, source, kafka_partition, kafka_offset) "
        "values ('a', '2026-01-01Z', 1.5, 'live', 0, 0);"
        "insert into ingest_ledger (topic_id, kafka_partition, topic, group_id, first_offset, next_offset, inserted, "
        "dead_lettered) values ('T', 0, 't', 'g', 0, 2, 1, 1);"
        "insert into dead_letters (topic_id, kafka_partition, kafka_offset, topic, reason, detail) "
        "values ('T', 0, 1, 't', 'not_json', 'x');"
        "insert into log_holes (topic_id, kafka_partition, from_offset, to_offset) values ('T', 0, 5, 9)",
    )
    assert pending(owner_dsn) == ALL[1:]
    assert migrate(owner_dsn) == ALL[1:]
    assert drift(owner_dsn) == []
    assert query(empty, "select transaction_id, topic_id, generation, load_id from transactions") == [
        {"transaction_id": "a", "topic_id": None, "generation": None, "load_id": None}
    ]
    assert query(
        empty, "select (select generation from ingest_ledger) as l, (select generation from dead_letters) as d"
    ) == [{"l": 0, "d": 0}]
    connection = connect(owner_dsn, "rtp-test", autocommit=True)
    try:
        assert balance.tables(snapshot(connection)) == []
    finally:
        connection.close()


def test_additions_that_can_refuse_no_record_are_no_drift(stack: Stack, owner_dsn: str) -> None:
    query(
        stack,
        "alter table transactions add column note text, add column seen boolean not null default false; "
        "create index by_customer on transactions (customer_id); create table mine (id int not null)",
    )
    assert drift(owner_dsn) == []


def test_tables_of_somebody_else_are_not_touched(empty: Stack, owner_dsn: str) -> None:
    query(empty, "create table transactions (id int)")
    with pytest.raises(ConfigError, match="tables that are not ours"):
        migrate(owner_dsn)
    assert current(owner_dsn) is None
    assert query(empty, "select tablename from pg_tables where schemaname = 'public'") == [
        {"tablename": "transactions"}
    ]


def test_a_newer_schema_is_refused(stack: Stack, owner_dsn: str) -> None:
    query(stack, "update alembic_version set version_num = '9999'")
    with pytest.raises(ConfigError, match="9999"):
        migrate(owner_dsn)
    with pytest.raises(ConfigError, match="newer rtp"):
        pending(owner_dsn)


def test_privileges_that_somebody_granted_are_taken_back(stack: Stack, owner_dsn: str) -> None:
    query(stack, "grant delete, truncate on transactions to rtp_ingest; grant select on transactions to public")
    migrate(owner_dsn)
    found = query(stack, "select has_table_privilege('rtp_ingest', 'transactions', 'delete, truncate') as may")
    assert found == [{"may": False}]


def test_a_lock_that_is_not_had_is_told(stack: Stack, owner_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "LOCK_WAIT_S", 1)
    with schema._alembic(owner_dsn), pytest.raises(RtpError, match="another migration"):
        migrate(owner_dsn)


def test_the_command_reports_what_it_did(empty: Stack) -> None:
    check = run_rtp("migrate", "--check", "--json", env=empty.env)
    assert check.returncode == 1
    assert json.loads(check.stdout)["revision"] is None
    first = run_rtp("migrate", "--json", env=empty.env)
    assert (first.returncode, first.stderr) == (0, "")
    assert json.loads(first.stdout) == {"roles": [], "applied": ALL, "revision": HEAD, "drift": []}
    again = run_rtp("migrate", env=empty.env)
    assert (again.returncode, again.stdout) == (0, f"schema is at revision {HEAD}\n")
    query(empty, "drop index dead_letters_first_seen_at")
    drifted = run_rtp("migrate", env=empty.env)
    assert drifted.returncode == 1
    assert "drift: index dead_letters.dead_letters_first_seen_at is missing" in drifted.stdout
