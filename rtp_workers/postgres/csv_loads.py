"""Progress of CSV loads, by file identity: what is acknowledged by Kafka, and where to go on after a kill.

Every function takes a connection in autocommit mode as role rtp_ingest, so each call is durable when it returns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from rtp_workers.errors import TransientError
from rtp_workers.postgres.connection import Connection, translated

State = Literal["loading", "loaded", "failed"]

_COLUMNS = (
    "load_id, identity, file_name, state, size_bytes, byte_offset, line_number, rows_read, acknowledged, refused, "
    "topic_id, last_offsets, resume_state, detail, started_at, updated_at, finished_at"
)
_FIND = f"select {_COLUMNS} from csv_loads where identity = %s"  # noqa: S608 - our own column names
_FIND_BY_HEAD = f"select {_COLUMNS} from csv_loads where starts_with(identity, %s)"  # noqa: S608 - our own column names
_RECENT = f"select {_COLUMNS} from csv_loads order by updated_at desc limit %s"  # noqa: S608 - our own column names
_BEGIN = f"""
insert into csv_loads (identity, file_name, state, size_bytes, topic_id) values (%s, %s, 'loading', %s, %s)
on conflict (identity) do update
set file_name = excluded.file_name, state = 'loading', size_bytes = excluded.size_bytes, detail = null,
    updated_at = now(), finished_at = null
returning {_COLUMNS}
"""  # noqa: S608 - our own column names
_SAVE = """
update csv_loads
set byte_offset = %(byte_offset)s, line_number = %(line_number)s, rows_read = %(rows_read)s,
    acknowledged = %(acknowledged)s, refused = %(refused)s, topic_id = %(topic_id)s,
    last_offsets = %(last_offsets)s, resume_state = %(resume_state)s, updated_at = now()
where identity = %(identity)s and state = 'loading'
"""
_END = """
update csv_loads set state = %s, detail = %s, updated_at = now(), finished_at = now()
where identity = %s and state = 'loading'
"""
# The key's own word keeps file identities apart from any other advisory lock taken in this database.
_LOCK = "select pg_try_advisory_lock(hashtextextended('csv_load ' || %s, 0))"
_UNLOCK = "select pg_advisory_unlock(hashtextextended('csv_load ' || %s, 0))"


class LoadRunningError(TransientError):
    """Another loader holds this file: wait for it, or stop it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is loaded; every record up to it is acknowledged by Kafka.

    Attributes:
        byte_offset: where in the (decompressed) file reading goes on.
        line_number: physical lines before `byte_offset`.
        rows_read: data rows before it; ``acknowledged + refused`` of them are settled.
        acknowledged: records that Kafka has.
        refused: rows that no record could be made of.
        topic_id: whose offsets `last_offsets` are, or None before the first record.
        last_offsets: kafka_partition -> offset of the last acknowledged record.
        resume_state: what else the reader needs to go on, as it likes.
    """

    byte_offset: int = 0
    line_number: int = 0
    rows_read: int = 0
    acknowledged: int = 0
    refused: int = 0
    topic_id: str | None = None
    last_offsets: dict[int, int] = field(default_factory=dict)
    resume_state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CsvLoad:
    """One row of csv_loads."""

    load_id: int
    identity: str
    file_name: str
    state: State
    size_bytes: int | None
    progress: Progress
    detail: str | None
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None


@contextmanager
def locked(connection: Connection, identity: str) -> Iterator[None]:
    """Holds the file for this session; the server frees it when the process dies.

    Raises:
        LoadRunningError: another loader holds it.
    """
    with translated("lock a CSV file"), connection.cursor() as cursor:
        cursor.execute(_LOCK, (identity,))
        if not cursor.fetchall()[0][0]:
            raise LoadRunningError(
                "another process is loading this file, or one that begins alike; wait for it, or stop it, and run again"
            )
    try:
        yield
    finally:
        if not connection.closed:
            with translated("unlock a CSV file"), connection.cursor() as cursor:
                cursor.execute(_UNLOCK, (identity,))


def find(connection: Connection, identity: str) -> CsvLoad | None:
    """Returns the load of this file, finished or not, or None where there was none yet."""
    with translated("read the progress of a CSV load"), connection.cursor() as cursor:
        cursor.execute(_FIND, (identity,))
        row = cursor.fetchone()
    return None if row is None else _load(row)


def find_by_head(connection: Connection, head: str) -> list[CsvLoad]:
    """Returns the loads whose identity begins with `head`: of files that begin alike."""
    with translated("read the progress of CSV loads"), connection.cursor() as cursor:
        cursor.execute(_FIND_BY_HEAD, (head,))
        return [_load(row) for row in cursor.fetchall()]


def begin(
    connection: Connection, identity: str, file_name: str, size_bytes: int | None, topic_id: str | None
) -> CsvLoad:
    """Notes that the file is being loaded (again); earlier progress is kept. Call it under `locked`."""
    with translated("note the start of a CSV load"), connection.cursor() as cursor:
        cursor.execute(_BEGIN, (identity, file_name, size_bytes, topic_id))
        return _load(cursor.fetchall()[0])


def save(connection: Connection, identity: str, progress: Progress) -> None:
    """Stores progress; call it only when every record up to it is acknowledged. Call it under `locked`."""
    values = {
        "identity": identity,
        "byte_offset": progress.byte_offset,
        "line_number": progress.line_number,
        "rows_read": progress.rows_read,
        "acknowledged": progress.acknowledged,
        "refused": progress.refused,
        "topic_id": progress.topic_id,
        "last_offsets": json.dumps(progress.last_offsets),
        "resume_state": json.dumps(progress.resume_state),
    }
    with translated("store the progress of a CSV load"), connection.cursor() as cursor:
        cursor.execute(_SAVE, values)


def finish(connection: Connection, identity: str) -> None:
    """Notes that the file is loaded to its end."""
    _end(connection, identity, "loaded", None)


def fail(connection: Connection, identity: str, detail: str) -> None:
    """Notes why the load stopped; its progress stays, so that it can go on."""
    _end(connection, identity, "failed", detail)


def recent(connection: Connection, limit: int = 20) -> list[CsvLoad]:
    """Returns the loads that moved last, newest first; role rtp_read may ask too."""
    with translated("read the CSV loads"), connection.cursor() as cursor:
        cursor.execute(_RECENT, (limit,))
        return [_load(row) for row in cursor.fetchall()]


def _end(connection: Connection, identity: str, state: State, detail: str | None) -> None:
    with translated("note the end of a CSV load"), connection.cursor() as cursor:
        cursor.execute(_END, (state, detail, identity))


def _load(row: tuple[Any, ...]) -> CsvLoad:
    load_id, identity, file_name, state, size_bytes, *progress = row
    detail, started_at, updated_at, finished_at = progress[8:]
    byte_offset, line_number, rows_read, acknowledged, refused, topic_id, last_offsets, resume_state = progress[:8]
    offsets = {int(number): offset for number, offset in last_offsets.items()}
    done = Progress(byte_offset, line_number, rows_read, acknowledged, refused, topic_id, offsets, resume_state)
    return CsvLoad(load_id, identity, file_name, state, size_bytes, done, detail, started_at, updated_at, finished_at)
