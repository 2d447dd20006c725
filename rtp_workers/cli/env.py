"""``rtp env``: export lines, so that ``psql``, ``dagster`` and scripts find the running platform."""

from __future__ import annotations

import json
import shlex

import click

from rtp_workers.endpoints import Endpoints, resolve
from rtp_workers.errors import ConfigError
from rtp_workers.settings import PlatformSettings, load


@click.command("env")
def command() -> int:
    """Print export lines for other programs: eval "$(rtp env)". They hold passwords."""
    settings = load(PlatformSettings)
    endpoints = resolve(settings)
    if endpoints.kafka_bootstrap is None and endpoints.postgres_dsn is None:
        raise ConfigError(
            f"no platform runs in {settings.home}; start one with `rtp up`, or set RTP_HOME to where one runs"
        )
    for name, value in exports(settings, endpoints).items():
        click.echo(f"export {name}={shlex.quote(value)}")
    return 0


def exports(settings: PlatformSettings, endpoints: Endpoints) -> dict[str, str]:
    """Returns name -> value of everything that is known, in the order of printing."""
    options = endpoints.kafka_options
    named = {
        "RTP_HOME": str(settings.home),
        "RTP_TOPIC": settings.topic,
        "RTP_KAFKA_BOOTSTRAP": endpoints.kafka_bootstrap,
        "RTP_KAFKA_CLIENT_CONFIG": json.dumps(options) if options else None,
        "RTP_POSTGRES_DSN": endpoints.postgres_dsn,
        "RTP_POSTGRES_INGEST_DSN": endpoints.postgres_ingest_dsn,
        "RTP_POSTGRES_READ_DSN": endpoints.postgres_read_dsn,
        "RTP_DAGSTER_POSTGRES_DSN": endpoints.dagster_postgres_dsn,
        "RTP_PRODUCER_URL": endpoints.producer_url,
        "RTP_CONSUMER_URL": endpoints.consumer_url,
        "RTP_DAGSTER_URL": endpoints.dagster_url,
        "RTP_PGADMIN_URL": endpoints.pgadmin_url,
        "DAGSTER_HOME": str(settings.home / "dagster"),
    }
    return {name: value for name, value in named.items() if value is not None}
