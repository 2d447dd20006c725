"""How the last attempt to load each file of the data folder ended, by the name as shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Literal

from rtp_workers.postgres import load_outcomes
from rtp_workers.postgres.connection import Connection, translated
from rtp_workers.postgres.load_outcomes import Outcomes

_COLUMNS = (
    "file_name, size_bytes, modified_ns, mapping, state, passing, detail, identity, rows_read, refused, attempts, "
    "tried_at"
)
# Files whose load was undone, or has lost rows that it had in common with one that was: a load that is retired gives up
# its identity, but for a suffix, and a later load of the file takes it.
_RETIRED = """
select distinct on (files.file_name) files.file_name, loads.retired_because, loads.acknowledged
from csv_files as files
join csv_loads as loads on loads.identity > files.identity || '~' and loads.identity < files.identity || '~:'
where files.state = 'loaded' and not exists (select from csv_loads as later where later.identity = files.identity)
order by files.file_name, loads.load_id desc
"""
_ALL = f"""
select {_COLUMNS}, retired_because from csv_files left join ({_RETIRED}) as retired using (file_name)
"""  # noqa: S608 - our own column names
# Attempts count failures in a row of the same file under the same mapping.
_NOTE = """
insert into csv_files
    (file_name, size_bytes, modified_ns, mapping, state, passing, detail, identity, rows_read, refused, attempts)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 1)
on conflict (file_name) do update
set size_bytes = excluded.size_bytes, modified_ns = excluded.modified_ns, mapping = excluded.mapping,
    state = excluded.state, passing = excluded.passing, detail = excluded.detail, identity = excluded.identity,
    rows_read = excluded.rows_read, refused = excluded.refused, tried_at = now(),
    attempts = case when csv_files.state = 'failed'
                     and (csv_files.size_bytes, csv_files.modified_ns, csv_files.mapping)
                         = (excluded.size_bytes, excluded.modified_ns, excluded.mapping)
               then csv_files.attempts + 1 else 1 end
"""
# The loader notes the dates of some files only; those of the others are the rows', found by the index on load_id.
_ENDED = """
select load_id,
       coalesce(first_at, (select min(occurred_at) from transactions where transactions.load_id = csv_loads.load_id)),
       coalesce(last_at, (select max(occurred_at) from transactions where transactions.load_id = csv_loads.load_id))
from csv_loads where identity = %s
"""
_PURGED = f"""
select file_name, sum(records)::bigint from (
    select csv_files.file_name, records from csv_files join csv_loads using (identity)
    join csv_load_outcomes using (load_id) where outcome = 'purged'
    union all
    select file_name, acknowledged from ({_RETIRED}) as retired where retired_because = 'its rows were purged'
) as gone group by 1 order by 1
"""  # noqa: S608 - our own column names
_FORGET = "delete from csv_files where state = 'failed' and file_name = any(%s)"
_NOT_LOADED = "select count(*) from csv_files where state = 'failed'"


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt ended.

    Attributes:
        file_name: the name as shown.
        size_bytes, modified_ns: the file as it was when the attempt began.
        mapping: the stamp of the mapping file at that time.
        state: ``loaded`` or ``failed``.
        passing: True if the failure is expected to pass by itself.
        detail: why it failed.
        identity: the load's identity in csv_loads, if the file was loaded.
    """

    file_name: str
    size_bytes: int
    modified_ns: int
    mapping: str
    state: Literal["loaded", "failed"]
    passing: bool = False
    detail: str | None = None
    identity: str | None = None
    rows_read: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class LastAttempt:
    """The last attempt.

    Attributes:
        attempts: how many failures in a row there were, including this one.
        tried_at: when it ended.
        retired_because: why some or all of the rows that it loaded are gone; None if they are not.
    """

    attempt: Attempt
    attempts: int
    tried_at: datetime
    retired_because: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A load, and the times that its rows cover; None if it has no rows."""

    outcomes: Outcomes
    first: datetime | None
    last: datetime | None


def last_attempts(connection: Connection) -> dict[str, LastAttempt]:
    """Returns the last attempt of every file that was ever tried. `connection` is in autocommit mode; any role."""
    with translated("read how the files' loads ended"), connection.cursor() as cursor:
        cursor.execute(_ALL)
        rows = cursor.fetchall()
    return {row[0]: LastAttempt(Attempt(*row[:10]), row[10], row[11], row[12]) for row in rows}


def note(connection: Connection, attempt: Attempt) -> None:
    """Stores how an attempt ended. `connection` is in autocommit mode, as role rtp_ingest."""
    with translated("note how a file's load ended"), connection.cursor() as cursor:
        cursor.execute(_NOTE, astuple(attempt))


def forget_failures(connection: Connection, names: Sequence[str]) -> None:
    """Removes the failures of these files. `connection` is in autocommit mode, as role rtp_ingest."""
    with translated("forget failures of files that are gone"), connection.cursor() as cursor:
        cursor.execute(_FORGET, (list(names),))


def not_loaded(connection: Connection) -> int:
    """Returns how many files' last attempt failed. `connection` is in autocommit mode; any role."""
    with translated("count the files that are not loaded"), connection.cursor() as cursor:
        cursor.execute(_NOT_LOADED)
        return int(cursor.fetchall()[0][0])


def ended(connection: Connection, identity: str) -> Ended | None:
    """Returns how the records of a load ended so far. `connection` is in autocommit mode; any role."""
    with translated("read how a file's records ended"), connection.cursor() as cursor:
        cursor.execute(_ENDED, (identity,))
        row = cursor.fetchone()
    return None if row is None else Ended(load_outcomes.read(connection, row[0]), row[1], row[2])


def purged_rows(connection: Connection) -> dict[str, int]:
    """Returns how many rows of each file's last load were purged. Files without purged rows are left out."""
    with translated("read which files' rows were purged"), connection.cursor() as cursor:
        cursor.execute(_PURGED)
        return dict(cursor.fetchall())
