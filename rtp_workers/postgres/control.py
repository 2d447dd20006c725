"""What a person can tell all consumers of the platform: pause, resume, and accept a hole in the log."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from rtp_workers.postgres import ledger
from rtp_workers.postgres.batch import Counts, Span
from rtp_workers.postgres.connection import Connection, translated

_NOTE_HOLE = """
insert into log_holes (topic_id, kafka_partition, generation, from_offset, to_offset) values (%s, %s, %s, %s, %s)
on conflict (topic_id, kafka_partition, generation, from_offset)
do update set to_offset = greatest(log_holes.to_offset, excluded.to_offset)
returning accepted_at is not null
"""
_COUNTED = """
update log_holes set counted_at = now()
where topic_id = %s and kafka_partition = %s and generation = %s and from_offset = %s
"""
_ACCEPT = """
update log_holes set accepted_at = now() where accepted_at is null
returning topic_id, kafka_partition, generation, from_offset, to_offset
"""
_OPEN_HOLES = """
select topic_id, kafka_partition, generation, from_offset, to_offset from log_holes where accepted_at is null
order by topic_id, kafka_partition
"""


@dataclass(frozen=True, slots=True)
class Pause:
    """Whether ingestion is paused on the whole platform, and the reason given."""

    paused: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Hole:
    """Offsets that Kafka had deleted before the consumer read them: ``to_offset - from_offset`` records."""

    topic_id: str
    kafka_partition: int
    generation: int
    from_offset: int
    to_offset: int


def read_pause(connection: Connection) -> Pause:
    """Returns the platform-wide pause. `connection` is in autocommit mode."""
    with translated("read the pause"), connection.cursor() as cursor:
        cursor.execute("select paused, paused_reason from ingest_control")
        row = cursor.fetchone()
    return Pause(bool(row and row[0]), row[1] if row else None)


def set_pause(connection: Connection, *, paused: bool, reason: str | None = None) -> None:
    """Pauses or resumes every consumer of the platform; survives restarts. `connection` is in autocommit mode."""
    with translated("set the pause"), connection.cursor() as cursor:
        cursor.execute(
            "update ingest_control set paused = %s, paused_reason = %s, changed_at = now()",
            (paused, reason if paused else None),
        )


def note_hole(connection: Connection, hole: Hole) -> bool:
    """Records a hole, or that it has grown.

    Returns:
        True if a person has accepted it, so that it may be counted.
    """
    with translated("note a hole in the log"), connection.cursor() as cursor:
        cursor.execute(_NOTE_HOLE, astuple(hole))
        row = cursor.fetchone()
    return bool(row and row[0])


def count_hole(connection: Connection, hole: Hole) -> None:
    """Moves the ledger over an accepted hole and counts its offsets in ``skipped``, in one transaction.

    Args:
        connection: in autocommit mode; no transaction open.
        hole: as recorded; the ledger must be at its ``from_offset``.

    Raises:
        LedgerMovedError: the ledger is elsewhere; nothing is changed.
    """
    size = hole.to_offset - hole.from_offset
    spans = {hole.kafka_partition: Span(hole.from_offset, hole.to_offset, 0, size, hole.generation)}
    with translated("count a hole in the log"), connection.cursor() as cursor:
        cursor.execute("begin")
        try:
            ledger.move(cursor, hole.topic_id, spans, {hole.kafka_partition: Counts(skipped=size)})
            cursor.execute(_COUNTED, astuple(hole)[:4])
        except ledger.LedgerMovedError:
            cursor.execute("rollback")
            raise
        cursor.execute("commit")


def open_holes(connection: Connection) -> list[Hole]:
    """Returns the holes that a person must decide on."""
    with translated("read holes in the log"), connection.cursor() as cursor:
        cursor.execute(_OPEN_HOLES)
        return [Hole(*row) for row in cursor.fetchall()]


def accept_holes(connection: Connection) -> list[Hole]:
    """Accepts every open hole. Consumers count it in ``skipped`` and continue. Returns the accepted holes."""
    with translated("accept holes in the log"), connection.cursor() as cursor:
        cursor.execute(_ACCEPT)
        return [Hole(*row) for row in cursor.fetchall()]
