"""The ledger: which offsets are stored, written in the transaction that stores them.

The last statement of a batch moves each partition's ``next_offset`` by compare-and-set. A consumer that finds a value
other than the one it started from has been overtaken: everything it wrote in that transaction is rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from rtp_workers.errors import ConfigError, RtpError
from rtp_workers.postgres.batch import Counts, Span
from rtp_workers.postgres.connection import Connection, Cursor, translated
from rtp_workers.record.marks import Mark, from_text, to_text

_OPEN = """
insert into ingest_ledger (topic_id, kafka_partition, topic, group_id, first_offset, next_offset)
values (%(topic_id)s, %(kafka_partition)s, %(topic)s, %(group_id)s, %(log_start)s, %(log_start)s)
on conflict (topic_id, kafka_partition) where closed_at is null do nothing
"""
_READ = """
select kafka_partition, next_offset, generation, marks from ingest_ledger
where topic_id = %s and kafka_partition = any(%s) and closed_at is null
"""
_MOVE = """
update ingest_ledger as ledger
set next_offset = moved.next_offset,
    inserted = ledger.inserted + moved.inserted,
    duplicates = ledger.duplicates + moved.duplicates,
    dead_lettered = ledger.dead_lettered + moved.dead_lettered,
    skipped = ledger.skipped + moved.skipped,
    marks = coalesce(moved.marks, concat_ws(
        ' ', nullif(ledger.marks, ''), (moved.next_offset - 1)::text || ':skipped')),
    updated_at = clock_timestamp()
from unnest(%s::int[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::text[]) as moved
    (kafka_partition, generation, start_offset, next_offset, inserted, duplicates, dead_lettered, skipped, marks)
where ledger.topic_id = %s
  and ledger.kafka_partition = moved.kafka_partition
  and ledger.generation = moved.generation
  and ledger.closed_at is null
  and ledger.next_offset = moved.start_offset
"""
_CLOSE = """
update ingest_ledger set closed_at = clock_timestamp()
where topic_id = %(topic_id)s and kafka_partition = %(kafka_partition)s and generation = %(generation)s
  and next_offset = %(next_offset)s and closed_at is null
"""
_BEGIN = """
insert into ingest_ledger (topic_id, kafka_partition, generation, topic, group_id, first_offset, next_offset, marks)
values (%(topic_id)s, %(kafka_partition)s, %(generation)s, %(topic)s, %(group_id)s, %(first_offset)s,
        %(first_offset)s, %(marks)s)
"""
_NOTE_LOSS = """
insert into log_losses (topic_id, kafka_partition, generation, topic, from_offset, to_offset)
values (%(topic_id)s, %(kafka_partition)s, %(generation)s, %(topic)s, %(from_offset)s, %(to_offset)s)
"""
_IDENTITY = """
select left(encode(sha256(convert_to(format('%s:%s', system_identifier, oid), 'UTF8')), 'hex'), 12)
from pg_control_system(), pg_database where datname = current_database()
"""
_OTHER_GROUP = "select group_id from ingest_ledger where topic_id = %s and group_id <> %s limit 1"


class LedgerMovedError(RtpError):
    """Another consumer has written since: the batch is rolled back; read the ledger again before you continue."""


class WrongGroupError(ConfigError):
    """The ledger belongs to another consumer group."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What a ledger row belongs to."""

    name: str
    topic_id: str
    group_id: str


class Place(NamedTuple):
    """Where a partition's ledger is: the next offset to store, the generation of the log, and the marks."""

    offset: int
    generation: int
    marks: tuple[Mark, ...] = ()


def identity(connection: Connection) -> str:
    """Returns what identifies this database; it stays the same after a restart, a restore or a failover.

    It is derived, not stored: a dump restored elsewhere would take a stored id along. It is empty if the server does
    not let us ask; PostgreSQL allows it by default.

    Args:
        connection: in autocommit mode.

    Raises:
        TransientError: PostgreSQL is away.
    """
    with translated("identify the database"), connection.cursor() as cursor:
        cursor.execute("select has_function_privilege('pg_control_system()', 'execute')")
        if cursor.fetchone() != (True,):
            return ""
        cursor.execute(_IDENTITY)
        row = cursor.fetchone()
    return str(row[0]) if row else ""


def open_partitions(connection: Connection, topic: Topic, log_starts: Mapping[int, int]) -> dict[int, Place]:
    """Returns where each partition resumes. A partition without a ledger row gets one, at the log's start.

    Args:
        connection: in autocommit mode.
        topic: the topic of these partitions.
        log_starts: kafka_partition -> the first offset that the log still holds.

    Raises:
        WrongGroupError: the ledger belongs to another consumer group.
        TransientError: PostgreSQL is away; the caller keeps the partitions paused and asks again.
    """
    with translated("read the ledger"), connection.cursor() as cursor:
        cursor.execute(_OTHER_GROUP, (topic.topic_id, topic.group_id))
        other = cursor.fetchone()
        if other is not None:
            raise WrongGroupError(
                f"the ledger of topic {topic.name} belongs to consumer group {other[0]!r}, not {topic.group_id!r}; "
                f"set RTP_GROUP_ID={other[0]} (one group per ledger)"
            )
        for kafka_partition, log_start in log_starts.items():
            row = {"kafka_partition": kafka_partition, "log_start": log_start, "topic": topic.name}
            cursor.execute(_OPEN, {**row, "topic_id": topic.topic_id, "group_id": topic.group_id})
        return places(cursor, topic.topic_id, list(log_starts))


def places(cursor: Cursor, topic_id: str, kafka_partitions: list[int]) -> dict[int, Place]:
    """Returns where the open generation of each partition is. A partition without a ledger row is left out."""
    cursor.execute(_READ, (topic_id, kafka_partitions))
    return {number: Place(offset, generation, from_text(marks)) for number, offset, generation, marks in cursor}


def begin_generation(connection: Connection, topic: Topic, kafka_partition: int, closed: Place, begun: Place) -> None:
    """Closes a partition's generation and begins the next one, because Kafka has lost records that are stored here.

    The same transaction records what is lost. The rows of the closed generation stay as they are.

    Args:
        connection: in autocommit mode, no transaction open.
        topic: the partition's topic.
        kafka_partition: its number.
        closed: where the ledger is.
        begun: where reading starts again; its generation follows that of `closed`.

    Raises:
        LedgerMovedError: the ledger is elsewhere by now; nothing is changed.
    """
    key = {"topic_id": topic.topic_id, "kafka_partition": kafka_partition}
    old = {**key, "generation": closed.generation, "next_offset": closed.offset}
    new = {**key, "generation": begun.generation, "topic": topic.name, "group_id": topic.group_id}
    lost = {"topic": topic.name, "from_offset": begun.offset, "to_offset": max(begun.offset, closed.offset)}
    with translated("begin a generation"), connection.cursor() as cursor:
        cursor.execute("begin")
        try:
            cursor.execute(_CLOSE, old)
            if cursor.rowcount != 1:
                raise LedgerMovedError(f"partition {kafka_partition}: the ledger has moved meanwhile; it is read again")
            cursor.execute(_BEGIN, {**new, "first_offset": begun.offset, "marks": to_text(begun.marks)})
            cursor.execute(_NOTE_LOSS, {**old, **lost})
        except LedgerMovedError:
            cursor.execute("rollback")
            raise
        cursor.execute("commit")


def move(cursor: Cursor, topic_id: str, spans: Mapping[int, Span], counts: Mapping[int, Counts]) -> None:
    """Moves the ledger past a batch, each partition by compare-and-set. Run it last, right before COMMIT.

    Raises:
        LedgerMovedError: a partition is not where the batch started; roll back.
    """
    partitions = sorted(spans)
    columns = [
        partitions,
        [spans[partition].generation for partition in partitions],
        [spans[partition].start_offset for partition in partitions],
        [spans[partition].next_offset for partition in partitions],
        [counts[partition].inserted for partition in partitions],
        [counts[partition].duplicates for partition in partitions],
        [counts[partition].dead_lettered for partition in partitions],
        [counts[partition].skipped for partition in partitions],
        [None if (marks := spans[partition].marks) is None else to_text(marks) for partition in partitions],
    ]
    cursor.execute(_MOVE, (*columns, topic_id))
    if cursor.rowcount != len(partitions):
        raise LedgerMovedError(_why_not_moved(cursor, topic_id, spans))


def _why_not_moved(cursor: Cursor, topic_id: str, spans: Mapping[int, Span]) -> str:
    """Says which partition is elsewhere, and what that means. The batch's own moves do not count."""
    stored = places(cursor, topic_id, sorted(spans))
    for number, span in sorted(spans.items()):
        offset, generation = stored[number][:2] if number in stored else (0, span.generation)
        if generation == span.generation and offset < span.start_offset:
            return (
                f"partition {number}: the ledger went back from {span.start_offset} to {offset} (PostgreSQL was "
                "restored, or has lost its last commits); the records are read again"
            )
        if generation != span.generation:
            return f"partition {number}: its log was rewritten, generation {generation} has begun; it is read again"
    return f"topic {topic_id}: another consumer has moved the ledger; the batch is rolled back and read again"
