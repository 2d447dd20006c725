"""`rtp resume`: ends a pause, and accepts holes in the log if asked to."""

from __future__ import annotations

import click

from rtp_workers import endpoints, settings
from rtp_workers.cli.terminal import say
from rtp_workers.counted import counted
from rtp_workers.postgres import control
from rtp_workers.postgres.connection import connect


@click.command("resume")
@click.option(
    "--accept-holes", is_flag=True, help="continue without the records that retention deleted before they were stored"
)
def command(accept_holes: bool) -> None:
    """Resume ingestion platform-wide."""
    found = endpoints.resolve(settings.load(settings.PlatformSettings))
    connection = connect(found.need("postgres_ingest_dsn"), "rtp-resume", autocommit=True)
    try:
        control.set_pause(connection, paused=False)
        accepted = control.accept_holes(connection) if accept_holes else []
        waiting = control.open_holes(connection)
    finally:
        connection.close()
    for hole in accepted:
        skipped = counted(hole.to_offset - hole.from_offset, "offset")
        say(f"partition {hole.kafka_partition}: {skipped} counted as skipped")
    for hole in waiting:
        size = hole.to_offset - hole.from_offset
        say(
            f"partition {hole.kafka_partition} waits: {counted(size, 'record is', 'records are')} gone; --accept-holes "
            "continues without"
        )
    say("resumed")
