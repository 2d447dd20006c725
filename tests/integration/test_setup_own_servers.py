"""`rtp setup --own-servers`, as the Job on Kubernetes runs it: it waits for somebody's own servers and sets them up."""

from __future__ import annotations

import secrets

import pytest
from pydantic import SecretStr

from rtp_workers.cli import setup
from rtp_workers.errors import TransientError
from rtp_workers.kafka.topics import delete_topic, describe
from rtp_workers.local import passwords
from rtp_workers.local.embedded import EmbeddedServers
from rtp_workers.local.ports import free_port
from rtp_workers.local.postgres_server import password_name
from rtp_workers.postgres import roles
from rtp_workers.postgres.migrate import migrate
from rtp_workers.settings import PlatformSettings, load
from tests.conftest import Stack
from tests.programs import run_rtp

SETUP = ("setup", "--own-servers")


def test_an_empty_database_and_no_topic_become_a_platform(servers: EmbeddedServers, stack: Stack) -> None:
    postgres = servers.postgres
    assert postgres is not None
    mark = secrets.token_hex(4)
    names = (roles.OWNER, roles.INGEST, roles.READ)
    given = {name: SecretStr(passwords.ensure(postgres.home, password_name(name))) for name in names}
    roles.bootstrap(postgres.superuser_dsn, given, database=f"empty_{mark}", dagster_database=None)
    dsn = postgres.dsn(roles.OWNER, f"empty_{mark}")
    env = {**stack.env, "RTP_TOPIC": f"made-{mark}", "RTP_POSTGRES_DSN": dsn, "RTP_TOPIC_PARTITIONS": "4"}
    for _ in range(2):
        done = run_rtp(*SETUP, env=env)
        assert done.returncode == 0, done.stderr
    assert run_rtp("migrate", "--check", env=env).returncode == 0
    topic = describe(stack.endpoints, f"made-{mark}")
    assert topic is not None
    assert topic.partitions == 4
    delete_topic(stack.endpoints, f"made-{mark}")


def test_servers_that_do_not_come_up_are_waited_for_and_then_named(stack: Stack) -> None:
    env = {**stack.env, "RTP_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}"}
    done = run_rtp(*SETUP, "--timeout", "1", env=env)
    assert done.returncode == 1
    assert "is Kafka up" in done.stderr


def test_a_connection_that_breaks_while_the_schema_is_migrated_is_no_end(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def breaks_once(dsn: str) -> list[str]:
        tried.append(dsn)
        if len(tried) == 1:
            raise TransientError("the connection broke")
        return migrate(dsn)

    monkeypatch.setattr(setup, "migrate", breaks_once)
    for name, value in stack.env.items():
        monkeypatch.setenv(name, value)
    setup.set_up_own_servers(load(PlatformSettings), timeout_s=60)
    assert len(tried) == 2
