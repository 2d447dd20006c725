"""``rtp setup``: creates what the containers need before they can work. Every step is idempotent.

In compose it is the one-shot service. It creates the secrets first, because PostgreSQL waits for its superuser's
password. Once both servers answer, it creates roles and databases, migrates, and creates the topic. On Kubernetes
(``--own-servers``) secrets and databases exist already, so it waits for the servers and does the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import click

from rtp_workers import endpoints as endpoints_module
from rtp_workers import logs
from rtp_workers.backoff import Backoff
from rtp_workers.cli.migrate import role_passwords
from rtp_workers.cli.setup_secrets import BATCH, CONSUMER, KAFKA_ADMIN, KAFKA_USERS, PRODUCER, SUPERUSER, SecretStore
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError, TransientError
from rtp_workers.kafka.access import grant_access
from rtp_workers.kafka.platform_topic import ensure_platform_topic
from rtp_workers.postgres.connection import LoginRefusedError, connect
from rtp_workers.postgres.migrate import migrate
from rtp_workers.postgres.roles import (
    DAGSTER,
    DATABASE,
    INGEST,
    INSIGHTS,
    OWNER,
    READ,
    bootstrap,
    ensure_roles,
    set_password,
    with_credentials,
    with_database,
)
from rtp_workers.settings import PlatformSettings, load

log = logs.get("rtp.setup")
T = TypeVar("T")


@click.command("setup")
@click.option("--secrets-dir", type=click.Path(path_type=Path, file_okay=False), default=Path("/secrets"))
@click.option("--postgres", "superuser_dsn", default="postgresql://postgres@postgres:5432/postgres", show_default=True)
@click.option("--timeout", "timeout_s", type=float, default=300.0, show_default=True, help="seconds for each server")
@click.option("--rotate", is_flag=True, help="generate new passwords")
@click.option("--kafka-sasl", is_flag=True, help="create Kafka's users and ACLs as well")
@click.option(
    "--own-servers", is_flag=True, help="create no secrets: only schema, missing roles and topic, as RTP_POSTGRES_DSN"
)
def command(
    secrets_dir: Path, superuser_dsn: str, timeout_s: float, rotate: bool, kafka_sasl: bool, own_servers: bool
) -> None:
    """Create secrets, roles, schema and topic for the containers."""
    settings = load(PlatformSettings)
    logs.configure("stdout", settings.log_level, settings.log_format)
    if own_servers:
        set_up_own_servers(settings, timeout_s)
    else:
        set_up_compose(settings, secrets_dir, superuser_dsn, timeout_s, rotate, kafka_sasl)


def set_up_own_servers(settings: PlatformSettings, timeout_s: float) -> None:
    """Migrates the database as its owner, creates missing roles with the passwords of their DSNs, creates the topic.

    Raises:
        ConfigError: a login is wrong, or the owner may not create missing roles; the message is the SQL to run.
        TransientError: a server did not answer in `timeout_s`.
    """
    endpoints = endpoints_module.resolve(settings)
    owner_dsn = endpoints.need("postgres_dsn")
    made = until(timeout_s, "PostgreSQL", lambda: ensure_roles(owner_dsn, role_passwords(endpoints)))
    log.info("roles_ready", created=made)
    log.info("schema_ready", applied=until(timeout_s, "PostgreSQL", lambda: migrate(owner_dsn)))
    set_up_topic(endpoints, settings, timeout_s)


def set_up_topic(endpoints: Endpoints, settings: PlatformSettings, timeout_s: float) -> None:
    """Creates the topic, or logs how an existing one differs from the settings."""
    report = until(timeout_s, "Kafka", lambda: ensure_platform_topic(endpoints, settings))
    log.info(
        "topic_ready", topic=report.topic, created=report.created, partitions=report.partitions, drift=report.drift
    )


def set_up_compose(
    settings: PlatformSettings, secrets_dir: Path, superuser_dsn: str, timeout_s: float, rotate: bool, kafka_sasl: bool
) -> None:
    """Creates everything that the services of docker-compose.yml need."""
    store = SecretStore(secrets_dir)
    store.ensure()
    publish(store, superuser_dsn, kafka_sasl)
    log.info("secrets_ready", folder=str(secrets_dir))
    if rotate:
        store.stage()
    owner_dsn = until(timeout_s, "PostgreSQL", lambda: set_up_roles(store, superuser_dsn))
    store.commit()
    publish(store, superuser_dsn, kafka_sasl)
    log.info("roles_ready", rotated=rotate)
    applied = until(timeout_s, "PostgreSQL", lambda: migrate(owner_dsn))
    log.info("schema_ready", applied=applied)
    endpoints = replace(endpoints_module.resolve(settings), postgres_dsn=owner_dsn)
    if kafka_sasl:
        endpoints = replace(endpoints, kafka_options=store.kafka_options(KAFKA_ADMIN))
        until(timeout_s, "Kafka", lambda: set_up_kafka_users(store, endpoints, settings))
        log.info("kafka_users_ready", users=list(KAFKA_USERS))
    set_up_topic(endpoints, settings, timeout_s)


def publish(store: SecretStore, superuser_dsn: str, kafka_sasl: bool) -> None:
    """Hands every service its current secrets."""
    address = urlsplit(superuser_dsn)
    store.publish(f"{address.hostname}:{address.port or 5432}")
    if kafka_sasl:
        store.publish_kafka()


def set_up_kafka_users(store: SecretStore, endpoints: Endpoints, settings: PlatformSettings) -> None:
    """Gives each service its own login at Kafka, and no more rights than it uses."""
    passwords = {user: store.current(user) for user in KAFKA_USERS}
    topic_rights = {
        PRODUCER: ("DESCRIBE", "WRITE"),
        # WRITE: it replays dead letters. DESCRIBE_CONFIGS: it refuses a compacted topic.
        CONSUMER: ("DESCRIBE", "DESCRIBE_CONFIGS", "READ", "WRITE"),
        BATCH: ("ALL",),
    }
    group_rights = {CONSUMER: ("READ", "DESCRIBE"), BATCH: ("DESCRIBE",)}
    grant_access(endpoints, passwords, settings.topic, topic_rights, settings.group_id, group_rights)


def set_up_roles(store: SecretStore, superuser_dsn: str) -> str:
    """Creates roles and databases with the wanted passwords, and sets the superuser's own last.

    Returns:
        The owner's DSN.

    Raises:
        ConfigError: none of our passwords is the superuser's.
        TransientError: PostgreSQL is away.
    """
    dsn = superuser(store, superuser_dsn)
    passwords = {role: store.wanted(role) for role in (OWNER, INGEST, READ, DAGSTER, INSIGHTS)}
    bootstrap(dsn, passwords)
    set_password(dsn, SUPERUSER, store.wanted(SUPERUSER))
    return with_credentials(with_database(dsn, DATABASE), OWNER, passwords[OWNER])


def superuser(store: SecretStore, superuser_dsn: str) -> str:
    """Returns the superuser's DSN with the password that works: the current one, or a staged one that was set already.

    Raises:
        ConfigError: neither works.
        TransientError: PostgreSQL is away.
    """
    for password in (store.current(SUPERUSER), store.wanted(SUPERUSER)):
        dsn = with_credentials(superuser_dsn, SUPERUSER, password)
        try:
            connect(dsn, "rtp-setup").close()
        except LoginRefusedError:
            continue
        return dsn
    raise ConfigError(
        "PostgreSQL refuses the superuser's password: its data is older than the secrets. Set the password in the "
        "volume `secrets` (docs/operations.md, 'Rotate secrets'), or remove the volume of PostgreSQL to start empty"
    )


def until(timeout_s: float, what: str, attempt: Callable[[], T]) -> T:
    """Returns what `attempt` returns, and retries while it raises TransientError.

    Raises:
        TransientError: the last one, after `timeout_s` seconds.
    """
    deadline, backoff = time.monotonic() + timeout_s, Backoff(first_s=0.2, longest_s=2.0)
    while True:
        try:
            return attempt()
        except TransientError as error:
            if time.monotonic() > deadline:
                raise
            if backoff.tries % 10 == 0:
                log.info("waiting", what=what, reason=str(error))
            time.sleep(backoff.next_s(error.retry_after_s))
