"""Progress of CSV loads, by file identity: what Kafka has acknowledged, and where to resume after a kill.

Every function takes a connection in autocommit mode as role rtp_ingest, so each call is durable when it returns.
A load that was undone or repeated is retired: it keeps its number, which its rows carry, and gives up its identity.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from rtp_workers.errors import TransientError
from rtp_workers.postgres.bounded import Holder, advisory_holders
from rtp_workers.postgres.connection import Connection, Cursor, translated

State = Literal["loading", "loaded", "failed"]

COLUMNS = (
    "load_id, identity, file_name, state, size_bytes, byte_offset, line_number, rows_read, acknowledged, refused, "
    "topic_id, last_offsets, resume_state, first_at, last_at, "
    "detail, started_at, updated_at, finished_at, csv_source_id, numbered, retired_because"
)
_FIND = f"select {COLUMNS} from csv_loads where identity = %s"  # noqa: S608 - our own column names
_FIND_BY_HEAD = f"""
select {COLUMNS} from csv_loads where starts_with(identity, %s) and retired_at is null
"""  # noqa: S608 - our own column names
_OF_FILE = f"""
select {COLUMNS} from csv_loads where file_name = %s and retired_because is distinct from 'its rows were purged'
"""  # noqa: S608 - our own column names
_RECENT = f"select {COLUMNS} from csv_loads order by updated_at desc limit %s"  # noqa: S608 - our own column names
_BEGIN = f"""
insert into csv_loads (identity, file_name, state, size_bytes, topic_id, csv_source_id, derives_ids, numbered)
values (%s, %s, 'loading', %s, %s, %s, %s, true)
on conflict (identity) do update
set file_name = excluded.file_name, state = 'loading', size_bytes = excluded.size_bytes, detail = null,
    csv_source_id = excluded.csv_source_id, derives_ids = excluded.derives_ids,
    numbered = csv_loads.numbered or csv_loads.acknowledged = 0, updated_at = now(), finished_at = null
returning {COLUMNS}
"""  # noqa: S608 - our own column names
_RETIRE = """
update csv_loads set identity = identity || '~' || load_id, retired_at = now(), retired_because = %s, updated_at = now()
where load_id = any(%s) and retired_at is null
"""
_SAVE = """
update csv_loads
set byte_offset = %(byte_offset)s, line_number = %(line_number)s, rows_read = %(rows_read)s,
    acknowledged = %(acknowledged)s, refused = %(refused)s, topic_id = %(topic_id)s,
    last_offsets = %(last_offsets)s, resume_state = %(resume_state)s,
    first_at = %(first_at)s::timestamptz, last_at = %(last_at)s::timestamptz, updated_at = now()
where identity = %(identity)s and state = 'loading'
"""
_END = """
update csv_loads set state = %s, detail = %s, updated_at = now(), finished_at = now()
where identity = %s and state = 'loading'
"""
# The key's own word keeps file identities apart from any other advisory lock taken in this database.
_KEY = "select hashtextextended('csv_load ' || %s, 0)"
_LOCK = "select pg_try_advisory_lock(%s)"
_UNLOCK = "select pg_advisory_unlock(%s)"


class LoadRunningError(TransientError):
    """Another loader is busy with this file: wait for it, or stop it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is loaded. Kafka has acknowledged every record up to there.

    Attributes:
        byte_offset: where reading resumes in the (decompressed) file.
        line_number: how many physical lines come before `byte_offset`.
        rows_read: how many data rows come before it; ``acknowledged + refused`` of them are settled.
        acknowledged: how many records Kafka has acknowledged.
        refused: how many rows could not become records.
        topic_id: the topic that `last_offsets` belong to; None before the first record.
        last_offsets: kafka_partition -> offset of the last acknowledged record.
        resume_state: whatever else the reader needs to resume.
        first_at: the earliest instant among the records, RFC 3339; None if it is not known.
        last_at: the latest instant, likewise.
    """

    byte_offset: int = 0
    line_number: int = 0
    rows_read: int = 0
    acknowledged: int = 0
    refused: int = 0
    topic_id: str | None = None
    last_offsets: dict[int, int] = field(default_factory=dict)
    resume_state: dict[str, Any] = field(default_factory=dict)
    first_at: str | None = None
    last_at: str | None = None


@dataclass(frozen=True, slots=True)
class CsvLoad:
    """One row of csv_loads.

    Attributes:
        csv_source_id: the memory that the file was read by; None for a file with our own columns.
        numbered: every record of the load carries its number; False for loads of earlier versions.
        retired_because: why its rows may be gone or sent again; None while its progress counts.
    """

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
    csv_source_id: int | None = None
    numbered: bool = False
    retired_because: str | None = None

    @property
    def head(self) -> str:
        """The beginning that the identities of all files with the same beginning share. A loader holds its lock."""
        return self.identity.partition("-")[0]


@contextmanager
def locked(connection: Connection, identity: str) -> Iterator[None]:
    """Locks the file for this session. The server releases the lock if the process dies.

    Raises:
        LoadRunningError: another session holds it; the message names it.
    """
    with translated("lock a CSV file"), connection.cursor() as cursor:
        cursor.execute(_KEY, (identity,))
        key: int = cursor.fetchall()[0][0]
        cursor.execute(_LOCK, (key,))
        if not cursor.fetchall()[0][0]:
            raise _running(advisory_holders(connection, key))
    try:
        yield
    finally:
        if not connection.closed:
            with translated("unlock a CSV file"), connection.cursor() as cursor:
                cursor.execute(_UNLOCK, (key,))


def _running(holders: Sequence[Holder]) -> LoadRunningError:
    if not holders:
        return LoadRunningError("another process was loading this file, or one with the same beginning; run again")
    return LoadRunningError(
        f"another process is loading this file, or one with the same beginning: PostgreSQL's {holders[0]} holds its "
        f"lock; wait for it, or end it with select pg_terminate_backend({holders[0].pid}), and run again"
    )


def retire_now(connection: Connection, load_ids: Sequence[int], because: str) -> None:
    """Retires loads in a separate transaction. Call it under `locked`."""
    with translated("retire CSV loads"), connection.cursor() as cursor:
        retire(cursor, load_ids, because)


def find(connection: Connection, identity: str) -> CsvLoad | None:
    """Returns the load of this file, finished or not; None if there was none yet."""
    with translated("read the progress of a CSV load"), connection.cursor() as cursor:
        cursor.execute(_FIND, (identity,))
        row = cursor.fetchone()
    return None if row is None else load_of(row)


def of_file(connection: Connection, file_name: str) -> list[CsvLoad]:
    """Returns the loads of files with this name whose rows nobody has purged."""
    with translated("read the loads of a file name"), connection.cursor() as cursor:
        cursor.execute(_OF_FILE, (file_name,))
        return [load_of(row) for row in cursor.fetchall()]


def find_by_head(connection: Connection, head: str) -> list[CsvLoad]:
    """Returns the loads whose identity begins with `head`: those of files with the same beginning."""
    with translated("read the progress of CSV loads"), connection.cursor() as cursor:
        cursor.execute(_FIND_BY_HEAD, (head,))
        return [load_of(row) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is known when a load begins.

    Attributes:
        identity: identifies the file's content and the way it is read.
        csv_source_id: the memory that the file is read by, or None.
        derives_ids: True if its ids are made of cells, so that the same id means the same row.
    """

    identity: str
    file_name: str
    size_bytes: int | None
    topic_id: str | None
    csv_source_id: int | None = None
    derives_ids: bool = False


def begin(connection: Connection, beginning: Beginning) -> CsvLoad:
    """Notes that the file is being loaded (again); earlier progress is kept. Call it under `locked`."""
    with translated("note the start of a CSV load"), connection.cursor() as cursor:
        values = (beginning.identity, beginning.file_name, beginning.size_bytes, beginning.topic_id)
        cursor.execute(_BEGIN, (*values, beginning.csv_source_id, beginning.derives_ids))
        return load_of(cursor.fetchall()[0])


def retire(cursor: Cursor, load_ids: Sequence[int], because: str) -> None:
    """Retires loads inside the caller's transaction: they are no longer resumed or recognised."""
    cursor.execute(_RETIRE, (because, list(load_ids)))


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
        "first_at": progress.first_at,
        "last_at": progress.last_at,
    }
    with translated("store the progress of a CSV load"), connection.cursor() as cursor:
        cursor.execute(_SAVE, values)


def finish(connection: Connection, identity: str) -> None:
    """Notes that the file is loaded to its end."""
    _end(connection, identity, "loaded", None)


def fail(connection: Connection, identity: str, detail: str) -> None:
    """Notes why the load stopped; its progress stays, so that it can resume."""
    _end(connection, identity, "failed", detail)


def has_unnumbered(connection: Connection) -> bool:
    """Tells whether files were loaded by an earlier version, whose rows carry no load number."""
    with translated("look for loads of earlier versions"), connection.cursor() as cursor:
        cursor.execute("select exists (select from csv_loads where not numbered)")
        return bool(cursor.fetchall()[0][0])


def recent(connection: Connection, limit: int = 20) -> list[CsvLoad]:
    """Returns the loads that moved last, newest first. Role rtp_read may ask too."""
    with translated("read the CSV loads"), connection.cursor() as cursor:
        cursor.execute(_RECENT, (limit,))
        return [load_of(row) for row in cursor.fetchall()]


def _end(connection: Connection, identity: str, state: State, detail: str | None) -> None:
    with translated("note the end of a CSV load"), connection.cursor() as cursor:
        cursor.execute(_END, (state, detail, identity))


def load_of(row: tuple[Any, ...]) -> CsvLoad:
    """Returns the load that a row of `COLUMNS` holds."""
    load_id, identity, file_name, state, size_bytes = row[:5]
    byte_offset, line_number, rows_read, acknowledged, refused, topic_id, last_offsets, resume_state = row[5:13]
    offsets = {int(number): offset for number, offset in last_offsets.items()}
    dates = [None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for at in row[13:15]]
    done = Progress(byte_offset, line_number, rows_read, acknowledged, refused, topic_id, offsets, resume_state, *dates)
    return CsvLoad(load_id, identity, file_name, state, size_bytes, done, *row[15:])
