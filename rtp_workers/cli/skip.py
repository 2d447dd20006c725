"""`rtp skip`: steps over offsets that cannot be read or stored, and counts them as skipped."""

from __future__ import annotations

from contextlib import closing

import click

from rtp_workers import endpoints, settings
from rtp_workers.cli.terminal import say
from rtp_workers.counted import counted
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import AttentionError
from rtp_workers.kafka.readable import PartitionReader
from rtp_workers.kafka.topics import describe, log_offsets
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.skips import Skip, place, step_over


@click.command("skip")
@click.option("--topic", help="The topic; default: RTP_TOPIC.")
@click.option("--partition", "kafka_partition", type=click.IntRange(0), required=True, help="The Kafka partition.")
@click.option("--offset", type=click.IntRange(0), required=True, help="The offset at which the partition is stuck.")
@click.option(
    "--to", "to_offset", type=click.IntRange(1), help="First offset to keep; default: the first that can be read."
)
@click.option("--reason", default="skipped from the command line", show_default=True, help="Kept with the count.")
def command(topic: str | None, kafka_partition: int, offset: int, to_offset: int | None, reason: str) -> None:
    """Step over offsets at which a partition is stuck, and count them as skipped.

    Without --to it goes as far as the first offset that can be read: one compressed batch holds many records. A running
    consumer resumes after them within seconds, and the ledger still adds up.
    """
    given = settings.load(settings.PlatformSettings)
    found = endpoints.resolve(given)
    name = topic or given.topic
    topic_id, end = _topic_now(found, name, kafka_partition)
    with closing(connect(found.need("postgres_ingest_dsn"), "rtp-skip", autocommit=True)) as connection:
        stands, generation, _ = place(connection, topic_id, kafka_partition)
        if stands != offset:
            raise AttentionError(
                f"partition {kafka_partition} of {name} is at offset {stands}, not at {offset}; nothing is "
                f"skipped. Give --offset {stands} if that is the place to step over"
            )
        to = to_offset or _first_readable(found, name, kafka_partition, offset, end)
        if not offset < to <= end:
            raise AttentionError(
                f"--to must be from {offset + 1} to {end}, where partition {kafka_partition} of {name} ends"
            )
        skip = Skip(topic_id, kafka_partition, generation, offset, to)
        step_over(connection, skip, reason)
    say(
        f"partition {kafka_partition}: {counted(skip.offsets, 'offset')} ({offset} to {to - 1}) counted as skipped; "
        f"it resumes at {to}"
    )


def _topic_now(found: Endpoints, topic: str, kafka_partition: int) -> tuple[str, int]:
    """Returns the topic's id and the end of the partition's log."""
    described = describe(found, topic)
    if described is None:
        raise AttentionError(f"topic {topic} does not exist; check --topic, or create it with `rtp topics`")
    ends = log_offsets(found, topic)
    if kafka_partition not in ends:
        raise AttentionError(f"topic {topic} has partitions 0 to {len(ends) - 1}, and no partition {kafka_partition}")
    return described.topic_id, ends[kafka_partition][1]


def _first_readable(found: Endpoints, topic: str, kafka_partition: int, offset: int, end: int) -> int:
    reader = PartitionReader(found, topic, kafka_partition)
    try:
        to = reader.first_readable(offset, end)
    finally:
        reader.close()
    if to == offset:
        raise AttentionError(
            f"offset {offset} of partition {kafka_partition} can be read from Kafka; nothing is skipped. To step over "
            f"it anyway, give --to {offset + 1}"
        )
    return to
