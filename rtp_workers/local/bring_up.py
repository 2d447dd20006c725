"""From settings to servers that are ready: ours or the user's own, migrated, with the topic."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

from pydantic import SecretStr

from rtp_workers import logs
from rtp_workers.endpoints import Endpoints, overlay, remove_file, write_file
from rtp_workers.kafka.platform_topic import ensure_platform_topic
from rtp_workers.local import passwords
from rtp_workers.local.embedded import EmbeddedServers, home_locked, together
from rtp_workers.local.kafka_cluster import brokers_for
from rtp_workers.local.kafka_server import KafkaServer
from rtp_workers.local.own_exports import note_ours
from rtp_workers.local.places import require_usable
from rtp_workers.local.postgres_server import PostgresServer, password_name
from rtp_workers.postgres import roles
from rtp_workers.postgres.migrate import migrate
from rtp_workers.settings import PlatformSettings

log = logs.get("rtp.bring_up")


def servers_for(settings: PlatformSettings, only: Collection[str], brokers: int = 1) -> EmbeddedServers:
    """Returns the servers that we must run, not started: not those that the settings name as the user's own.

    Args:
        settings: home and ports; more brokers use the ports after Kafka's.
        only: the parts that are to run.
        brokers: the number of Kafka brokers.

    Raises:
        ConfigError: a folder cannot be used, or the home has the data of another number of brokers.
    """
    require_usable(settings)
    kafka: list[KafkaServer] = []
    if "kafka" in only and settings.kafka_bootstrap is None:
        kafka = brokers_for(settings.home, [settings.kafka_port + number for number in range(brokers)])
    postgres = "postgres" in only and settings.postgres_dsn is None
    return EmbeddedServers(
        kafka=kafka[0] if kafka else None,
        postgres=PostgresServer(settings.home, settings.postgres_port) if postgres else None,
        more_brokers=tuple(kafka[1:]),
    )


@contextmanager
def servers_running(settings: PlatformSettings, servers: EmbeddedServers) -> Iterator[Endpoints]:
    """Locks the home, runs the servers and sets them up. Inside, other programs find the endpoints in the home.

    Raises:
        ConfigError: another platform runs in this home, a port is taken, or the user's own server lacks something.
        FatalError, TransientError: a server does not start or does not answer.
    """
    with home_locked(settings.home):
        remove_file(settings.home)
        servers.start()
        try:
            endpoints = set_up(settings, overlay(servers.endpoints(), settings))
            write_file(settings.home, endpoints)
            note_ours(settings.home, servers.endpoints())
            yield endpoints
        finally:
            remove_file(settings.home)
            servers.stop()


def set_up(settings: PlatformSettings, endpoints: Endpoints) -> Endpoints:
    """Migrates the database and creates the topic, at the same time. Returns the endpoints with every role's DSN."""
    complete = with_worker_roles(settings, endpoints) if endpoints.postgres_dsn else endpoints
    steps = []
    if complete.postgres_dsn:
        steps.append(lambda: _migrate(complete))
    if complete.kafka_bootstrap:
        steps.append(lambda: _make_topic(complete, settings))
    together(steps)
    return complete


def with_worker_roles(settings: PlatformSettings, endpoints: Endpoints) -> Endpoints:
    """Creates missing roles of the workers on the user's own server, and derives DSNs that were not given.

    Raises:
        ConfigError: roles are missing and the owner may not create them; the message is the SQL to run.
    """
    owner = endpoints.need("postgres_dsn")
    given = {roles.INGEST: endpoints.postgres_ingest_dsn, roles.READ: endpoints.postgres_read_dsn}
    secrets = {role: _password(settings, role, dsn) for role, dsn in given.items()}
    roles.ensure_roles(owner, secrets)
    derived = {role: dsn or roles.with_credentials(owner, role, secrets[role]) for role, dsn in given.items()}
    return replace(endpoints, postgres_ingest_dsn=derived[roles.INGEST], postgres_read_dsn=derived[roles.READ])


def _password(settings: PlatformSettings, role: str, dsn: str | None) -> SecretStr:
    given = roles.credentials(dsn)[1] if dsn else None
    return given or SecretStr(passwords.ensure(settings.home, password_name(role)))


def _migrate(endpoints: Endpoints) -> None:
    for revision in migrate(endpoints.need("postgres_dsn")):
        log.info("migrated", revision=revision)


def _make_topic(endpoints: Endpoints, settings: PlatformSettings) -> None:
    report = ensure_platform_topic(endpoints, settings)
    for sentence in report.drift:
        log.warning("topic_differs", topic=settings.topic, difference=sentence, remedy="rtp topics --alter")
