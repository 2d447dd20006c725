"""Least privilege, on a real server: what each role can do, and all that it cannot."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import psycopg2.errors
import pytest
from pydantic import SecretStr

from rtp_workers.errors import ConfigError, RtpError
from rtp_workers.local.embedded import EmbeddedServers
from rtp_workers.local.ports import free_port
from rtp_workers.local.postgres_server import PostgresServer
from rtp_workers.postgres import roles
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.migrate import MIGRATIONS, migrate
from tests.conftest import Stack
from tests.reading import query

ALL_REVISIONS = [path.name[:4] for path in sorted(MIGRATIONS.glob("[0-9]*.sql"))]
ROW = "insert into transactions (transaction_id, occurred_at, amount, source, kafka_partition, kafka_offset) values "
LEDGER = "insert into ingest_ledger (topic_id, kafka_partition, topic, group_id, first_offset, next_offset) values "
LETTER = "insert into dead_letters (topic_id, kafka_partition, kafka_offset, topic, reason, detail) values "
ADD_ROW = ROW + "('t1', '2024-01-01T00:00:00Z', 1, 'live', 0, 0)"
ONE_OF_EACH = "; ".join(
    [
        ADD_ROW,
        LEDGER + "('topic', 0, 'transactions', 'g', 0, 0)",
        LETTER + "('topic', 0, 1, 'transactions', 'r', 'd')",
        "insert into log_holes (topic_id, kafka_partition, from_offset, to_offset) values ('topic', 0, 1, 2)",
        "insert into log_losses (topic_id, kafka_partition, generation, topic, from_offset, to_offset) "
        "values ('topic', 0, 0, 't', 1, 2)",
        "insert into csv_loads (identity, file_name, state) values ('i', 'f.csv', 'loading')",
    ]
)
INGEST_MAY = [
    "update ingest_ledger set next_offset = 1, inserted = 1, duplicates = 0, dead_lettered = 0, skipped = 0",
    "update dead_letters set replayed_at = now()",
    "update ingest_control set paused = true, paused_reason = 'test', changed_at = now()",
    "update log_holes set to_offset = 3, accepted_at = now(), counted_at = now()",
    "update log_losses set confirmed_at = now(), confirmed_by = 'me'",
    "update csv_loads set state = 'loaded', byte_offset = 10",
    "select * from purges",
    "select * from alembic_version",
    "create temp table incoming as select * from transactions with no data",
]
LARGE_OBJECTS = ["select lo_create(0)", "select lo_creat(-1)", "select lo_from_bytea(0, 'x')"]
INGEST_MAY_NOT = [
    *LARGE_OBJECTS,
    "update transactions set amount = 2",
    "update transactions set ingested_at = now()",
    "delete from transactions",
    "truncate transactions",
    "alter table transactions add column mine int",
    "drop table transactions",
    "create index mine on transactions (amount)",
    "create trigger mine before insert on transactions execute function suppress_redundant_updates_trigger()",
    "update ingest_ledger set topic_id = 'other'",
    "update ingest_ledger set first_offset = 1",
    "delete from ingest_ledger",
    "truncate ingest_ledger",
    "update dead_letters set value = null",
    "update dead_letters set reason = 'other'",
    "delete from dead_letters",
    "truncate dead_letters",
    "insert into purges (criteria, purged_rows, purged_dead_letters) values ('{}', 1, 0)",
    "update purges set purged_rows = 0",
    "delete from purges",
    "insert into ingest_control values (false)",
    "delete from ingest_control",
    "delete from log_holes",
    "update log_losses set to_offset = 9",
    "delete from log_losses",
    "delete from csv_loads",
    "update alembic_version set version_num = '0'",
    "create table mine (id int)",
    "create schema mine",
    "create role mine",
    "alter role rtp_owner password 'x'",
    "set role rtp_owner",
    "select rolpassword from pg_authid",
    "select passwd from pg_shadow",
    "select pg_read_file('PG_VERSION')",
    "copy transactions to program 'cat'",
]
READ_MAY_NOT = [
    *LARGE_OBJECTS,
    "select pg_advisory_lock(1)",
    "select pg_try_advisory_xact_lock(1, 1)",
    ADD_ROW,
    "update ingest_control set paused = true",
    "update dead_letters set replayed_at = now()",
    "delete from transactions",
    "truncate transactions",
    "create table mine (id int)",
    "create temp table mine (id int)",
    "select rolpassword from pg_authid",
]


@pytest.fixture
def filled(stack: Stack) -> Stack:
    query(stack, ONE_OF_EACH, dsn="postgres_ingest_dsn")
    return stack


def refused(stack: Stack, statement: str, dsn: str) -> None:
    with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ReadOnlySqlTransaction)):
        query(stack, statement, dsn=dsn)


def test_ingest_can_do_all_that_the_workers_do(filled: Stack) -> None:
    for statement in INGEST_MAY:
        query(filled, statement, dsn="postgres_ingest_dsn")
    assert query(filled, "select count(*) as rows from transactions", dsn="postgres_ingest_dsn") == [{"rows": 1}]


def test_ingest_can_do_nothing_else(filled: Stack) -> None:
    for statement in INGEST_MAY_NOT:
        refused(filled, statement, "postgres_ingest_dsn")
    assert query(filled, "select amount from transactions")[0]["amount"] == 1


def test_read_sees_everything_and_changes_nothing(filled: Stack) -> None:
    tables = query(filled, "select tablename from pg_tables where schemaname = 'public'", dsn="postgres_read_dsn")
    assert len(tables) == 12
    for table in tables:
        query(filled, "table " + table["tablename"], dsn="postgres_read_dsn")
    for statement in READ_MAY_NOT:
        refused(filled, f"set transaction_read_only = off; {statement}", "postgres_read_dsn")


def test_read_cannot_end_a_workers_session(stack: Stack) -> None:
    worker = connect(stack.endpoints.need("postgres_ingest_dsn"), "rtp-test")
    try:
        refused(stack, f"select pg_terminate_backend({worker.info.backend_pid})", "postgres_read_dsn")
    finally:
        worker.close()


def test_owner_is_no_superuser_and_makes_no_roles(stack: Stack) -> None:
    found = query(
        stack,
        "select rolname from pg_roles where rolname like 'rtp%%' and "
        "(rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)",
    )
    assert found == []


def test_the_roles_have_their_timeouts(stack: Stack) -> None:
    shown = query(
        stack, "select current_setting('idle_in_transaction_session_timeout') as s", dsn="postgres_ingest_dsn"
    )
    assert shown == [{"s": "15s"}]
    shown = query(stack, "select current_setting('statement_timeout') as s", dsn="postgres_read_dsn")
    assert shown == [{"s": "1min"}]


@pytest.fixture
def own_server(home: Path) -> Iterator[PostgresServer]:
    """A server of its own that logs every statement, with nothing of ours in it."""
    server = PostgresServer(home, free_port(), settings={"log_statement": "all", "shared_buffers": "32MB"})
    server.prepare()
    server.start()
    server.wait_ready()
    yield server
    server.stop()


def secrets_for(*names: str) -> dict[str, SecretStr]:
    return {name: SecretStr(f"known-{name}") for name in names}


def dsn_of(server: PostgresServer, role: str, database: str) -> str:
    as_role = roles.with_credentials(server.superuser_dsn, role, SecretStr(f"known-{role}"))
    return roles.with_database(as_role, database)


def run(dsn: str, *statements: str) -> None:
    connection = connect(dsn, "rtp-test", autocommit=True)
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def test_bootstrap_by_two_at_once_and_again_makes_closed_databases_and_logs_no_password(
    own_server: PostgresServer,
) -> None:
    given = secrets_for(roles.OWNER, roles.INGEST, roles.READ, roles.DAGSTER)
    errors: list[RtpError] = []

    def bootstrap() -> None:
        try:
            roles.bootstrap(own_server.superuser_dsn, given)
        except RtpError as error:
            errors.append(error)

    threads = [threading.Thread(target=bootstrap) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    roles.bootstrap(own_server.superuser_dsn, given)

    assert migrate(dsn_of(own_server, roles.OWNER, "rtp")) == ALL_REVISIONS
    run(dsn_of(own_server, roles.INGEST, "rtp"), "select * from transactions")
    run(dsn_of(own_server, roles.DAGSTER, "dagster"), "create table runs (id int)")
    for role, database in [(roles.DAGSTER, "rtp"), (roles.INGEST, "dagster"), (roles.OWNER, "dagster")]:
        with pytest.raises(RtpError, match="permission denied for database"):
            connect(dsn_of(own_server, role, database), "rtp-test")
    log = "".join(path.read_text(errors="replace") for path in own_server.home.rglob("*") if is_log(path))
    assert "select * from transactions" in log
    assert "known-" not in log


def is_log(path: Path) -> bool:
    return path.is_file() and "log" in path.name and "postgres" in str(path)


def test_bootstrap_resets_a_password_and_powers_that_drifted(own_server: PostgresServer) -> None:
    given = secrets_for(roles.OWNER, roles.INGEST, roles.READ)
    roles.bootstrap(own_server.superuser_dsn, given, dagster_database=None)
    run(own_server.superuser_dsn, "alter role rtp_ingest superuser password 'other'")
    roles.bootstrap(own_server.superuser_dsn, given, dagster_database=None)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(dsn_of(own_server, roles.INGEST, "rtp"), "select rolpassword from pg_authid")


def test_bootstrap_needs_a_superuser_and_every_password(own_server: PostgresServer) -> None:
    with pytest.raises(ConfigError, match="no password for rtp_read"):
        roles.bootstrap(own_server.superuser_dsn, secrets_for(roles.OWNER, roles.INGEST), dagster_database=None)
    given = secrets_for(roles.OWNER, roles.INGEST, roles.READ)
    roles.bootstrap(own_server.superuser_dsn, given, dagster_database=None)
    with pytest.raises(ConfigError, match="needs a superuser"):
        roles.bootstrap(dsn_of(own_server, roles.OWNER, "rtp"), given, dagster_database=None)


def test_somebody_elses_server_without_the_right_to_make_roles_gets_the_sql_to_run(own_server: PostgresServer) -> None:
    run(own_server.superuser_dsn, "create role alice login password 'known-alice'", "create database shop owner alice")
    owner_dsn = dsn_of(own_server, "alice", "shop")
    with pytest.raises(ConfigError, match="have an administrator run") as caught:
        roles.ensure_roles(owner_dsn, {})
    with pytest.raises(ConfigError, match="roles rtp_ingest, rtp_read are missing"):
        migrate(owner_dsn)
    statements = str(caught.value).split(":\n", 1)[1].replace("<choose one>", "known-rtp_ingest")
    run(own_server.superuser_dsn, statements)
    assert roles.ensure_roles(owner_dsn, {}) == []
    assert migrate(owner_dsn) == ALL_REVISIONS
    run(dsn_of(own_server, roles.INGEST, "shop"), ONE_OF_EACH)


def test_somebody_elses_server_with_that_right_gets_the_roles(own_server: PostgresServer) -> None:
    run(
        own_server.superuser_dsn,
        "create role alice login createrole password 'known-alice'",
        "create database shop owner alice",
    )
    owner_dsn = dsn_of(own_server, "alice", "shop")
    with pytest.raises(ConfigError, match="no password for rtp_ingest, rtp_read"):
        roles.ensure_roles(owner_dsn, {})
    given = secrets_for(roles.INGEST, roles.READ)
    assert roles.ensure_roles(owner_dsn, given) == [roles.INGEST, roles.READ]
    with_insights = secrets_for(roles.INGEST, roles.READ, roles.INSIGHTS)
    assert roles.ensure_roles(owner_dsn, with_insights) == [roles.INSIGHTS]
    assert roles.ensure_roles(owner_dsn, with_insights) == []
    assert migrate(owner_dsn) == ALL_REVISIONS
    run(dsn_of(own_server, roles.READ, "shop"), "select * from transactions")
    run(dsn_of(own_server, roles.INSIGHTS, "shop"), "create schema insights", "select * from transactions")


def test_a_template_clone_needs_no_further_grants_on_tables(servers: EmbeddedServers, stack: Stack) -> None:
    granted = query(stack, "select has_table_privilege('rtp_ingest', 'transactions', 'insert') as may")
    assert granted == [{"may": True}]
