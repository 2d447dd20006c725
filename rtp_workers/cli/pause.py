"""`rtp pause`: every consumer stops writing until `rtp resume`. It is kept in PostgreSQL, so restarts do not end it."""

from __future__ import annotations

import click

from rtp_workers import endpoints, settings
from rtp_workers.cli.terminal import say
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.control import set_pause


@click.command("pause")
@click.option("--reason", default="paused from the command line", help="shown in status and on the page")
def command(reason: str) -> None:
    """Pause ingestion platform-wide. Records wait in Kafka."""
    found = endpoints.resolve(settings.load(settings.PlatformSettings))
    connection = connect(found.need("postgres_ingest_dsn"), "rtp-pause", autocommit=True)
    try:
        set_pause(connection, paused=True, reason=reason)
    finally:
        connection.close()
    say("paused; continue with `rtp resume`")
