"""``rtp env``: prints export lines, so that ``psql``, ``dagster`` and scripts find the running platform."""

from __future__ import annotations

import shlex

import click

from rtp_workers.endpoints import resolve
from rtp_workers.errors import ConfigError
from rtp_workers.local.own_exports import exports
from rtp_workers.settings import PlatformSettings, load


@click.command("env")
def command() -> int:
    """Print export lines for other programs: eval "$(rtp env)". The lines contain passwords."""
    settings = load(PlatformSettings)
    endpoints = resolve(settings)
    if endpoints.kafka_bootstrap is None and endpoints.postgres_dsn is None:
        raise ConfigError(
            f"no platform is running in {settings.home}; start one with `rtp up`, or set RTP_HOME to another folder"
        )
    for name, value in exports(settings, endpoints).items():
        click.echo(f"export {name}={shlex.quote(value)}")
    return 0
