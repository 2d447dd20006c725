"""Undoes imports: deletes, counts and forgets what a CSV load has stored, in one transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date

from rtp_workers.counted import counted
from rtp_workers.errors import ConfigError
from rtp_workers.postgres import csv_loads
from rtp_workers.postgres.connection import Connection, Cursor, connect, translated
from rtp_workers.postgres.csv_loads import COLUMNS, CsvLoad, load_of
from rtp_workers.postgres.purge import PurgeReport
from rtp_workers.postgres.replay_guard import LogEnds, await_records, behind, no_replay

PURGED = "its rows were purged"

_BY_FILE = f"select {COLUMNS} from csv_loads where file_name = %s order by load_id"  # noqa: S608 - our own column names
_BY_LOAD = f"select {COLUMNS} from csv_loads where load_id = %s"  # noqa: S608 - our own column names
_BY_SOURCE = f"""
select {COLUMNS} from csv_loads
where csv_source_id = (select csv_source_id from csv_sources where name = %s) order by load_id
"""  # noqa: S608 - our own column names
_SOURCES = "select name from csv_sources order by name"
_UNNUMBERED = "select count(*) from transactions where load_id is null and source = %s"
_DELETE_ROWS = """
with gone as (delete from transactions where {condition} returning (occurred_at at time zone 'UTC')::date as day)
select count(*), coalesce(array_agg(distinct day), '{{}}') from gone
"""
_BY_NUMBER = "load_id = any(%(loads)s)"
_BY_NAME = "load_id is null and source = %(source)s"
_DELETE_LETTERS = "delete from dead_letters where load_id = any(%(loads)s)"
_REPLAYED = """
select distinct load_id from dead_letters where load_id = any(%(loads)s) and replayed_at is not null
"""
_COUNT_ROWS = "select count(*) from transactions where load_id = any(%(loads)s)"
_COUNT_LETTERS = "select count(*) from dead_letters where load_id = any(%(loads)s)"
_NOTE = "insert into purges (criteria, purged_rows, purged_dead_letters, days) values (%s, %s, %s, %s::date[])"
# Loads whose records were counted as duplicates of rows that are deleted now. Loading them again restores these rows.
_DEPENDENT = """
select distinct load_id from csv_load_outcomes
where outcome in ('duplicate', 'changed') and load_id <> all(%(loads)s)
  and (stored_load_id = any(%(loads)s) or (%(by_name)s and stored_load_id = 0 and stored_source = %(source)s))
"""
_FORGET_OUTCOMES = "delete from csv_load_outcomes where load_id = any(%(loads)s)"
_FORGET_SOURCES = """
delete from csv_sources as memory where csv_source_id = any(%(sources)s) and not exists (
    select from csv_loads as loads where loads.csv_source_id = memory.csv_source_id and (
        loads.retired_at is null
        or exists (select from csv_load_outcomes as ended
                   where ended.load_id = loads.load_id and ended.outcome = 'inserted')))
"""


@dataclass(frozen=True, slots=True)
class Import:
    """What to undo.

    Attributes:
        described: what is kept about the purge.
        loads: the loads whose rows and dead letters are deleted.
        source: ``csv:<file name>`` of rows without a load number; None if there can be none.
        unnumbered: how many such rows there are. Another file of the same name may have stored them.
    """

    described: Mapping[str, str | int]
    loads: tuple[CsvLoad, ...]
    source: str | None = None
    unnumbered: int = 0

    @property
    def load_ids(self) -> list[int]:
        """Numbers of the loads."""
        return [load.load_id for load in self.loads]


def import_of_file(connection: Connection, file_name: str) -> Import:
    """Finds what was loaded from a file of this name.

    Raises:
        ConfigError: nothing was loaded, or files of several sources have this name: give a load's number then.
    """
    with translated("find the loads of a file"), connection.cursor() as cursor:
        cursor.execute(_BY_FILE, (file_name,))
        loads = tuple(load_of(row) for row in cursor.fetchall())
        source = f"csv:{file_name}"
        cursor.execute(_UNNUMBERED, (source,))
        unnumbered = cursor.fetchall()[0][0]
    if not loads and not unnumbered:
        raise ConfigError(f"nothing was loaded from a file called {file_name}; `rtp files` lists what was loaded")
    standing = [load for load in loads if load.retired_because != PURGED]
    if len({load.csv_source_id for load in standing}) > 1:
        listed = "; ".join(
            f"--load {load.load_id}: {counted(load.progress.acknowledged, 'record')}, begun "
            f"{load.started_at:%Y-%m-%d %H:%M}"
            for load in standing
        )
        raise ConfigError(f"{len(standing)} loads of different sources came from {file_name}; choose one: {listed}")
    return Import({"by": "file", "file": file_name}, tuple(standing), source, unnumbered)


def import_of_load(connection: Connection, load_id: int) -> Import:
    """Finds one load by its number.

    Raises:
        ConfigError: it does not exist.
    """
    with translated("find a load"), connection.cursor() as cursor:
        cursor.execute(_BY_LOAD, (load_id,))
        loads = tuple(load_of(row) for row in cursor.fetchall())
    if not loads:
        raise ConfigError(f"there is no load {load_id}; `rtp files` lists the loads")
    return Import({"by": "load", "load": load_id}, loads)


def import_of_source(connection: Connection, name: str) -> Import:
    """Finds every load of a source.

    Raises:
        ConfigError: no source has this name.
    """
    with translated("find the loads of a source"), connection.cursor() as cursor:
        cursor.execute(_SOURCES)
        known = [row[0] for row in cursor.fetchall()]
        if name not in known:
            raise ConfigError(f"there is no source {name!r}; the sources are: {', '.join(known) or 'none'}")
        cursor.execute(_BY_SOURCE, (name,))
        return Import({"by": "source", "source": name}, tuple(load_of(row) for row in cursor.fetchall()))


def undo(
    owner_dsn: str,
    find: Callable[[Connection], Import],
    *,
    by_name: bool = False,
    dry_run: bool = False,
    ends: Callable[[], LogEnds] = LogEnds,
    timeout_s: float = 60.0,
) -> tuple[Import, PurgeReport]:
    """Deletes what an import has stored and forgets its progress, in one transaction that the ledger accounts for.

    Afterwards the same file loads again. So do files whose records were counted as duplicates of the deleted rows.

    Args:
        owner_dsn: the platform's database, as its owner.
        find: one of the ``import_of_...`` functions.
        by_name: also delete rows without a load number, which only their file's name identifies.
        dry_run: only count.
        ends: asks Kafka where the topic ends, after any running replay.
        timeout_s: how long to wait for a replay to end, and for the consumer to write what the loads have sent.

    Raises:
        ConfigError: there is no such import.
        LoadRunningError: a loader is working on one of the files.
        TransientError: the consumer has not written all records of the loads in time, or a replay of dead letters has
            not ended; nothing was deleted.
    """
    deadline = time.monotonic() + timeout_s
    connection = connect(owner_dsn, "rtp-purge", autocommit=True)
    try:
        found = find(connection)
        if dry_run:
            return found, _counted(connection, found, by_name=by_name)
        with ExitStack() as stack:
            for head in sorted({load.head for load in found.loads}):
                stack.enter_context(csv_loads.locked(connection, head))
            stack.enter_context(no_replay(connection, deadline))
            topic_ends, replayed = ends(), _replayed(connection, found.loads)
            wanted = _last_places(found.loads, topic_ends, replayed)
            await_records(lambda: behind(connection, wanted), deadline, "load")
            return found, _delete(connection, found, by_name=by_name)
    finally:
        connection.close()


def _counted(connection: Connection, found: Import, *, by_name: bool) -> PurgeReport:
    with translated("count what an import has stored"), connection.cursor() as cursor:
        cursor.execute(_COUNT_ROWS, {"loads": found.load_ids})
        rows = cursor.fetchall()[0][0] + (found.unnumbered if by_name else 0)
        cursor.execute(_COUNT_LETTERS, {"loads": found.load_ids})
        return PurgeReport(rows, cursor.fetchall()[0][0], dry_run=True)


def _delete(connection: Connection, found: Import, *, by_name: bool) -> PurgeReport:
    values = {"loads": found.load_ids, "source": found.source, "by_name": by_name}
    values["sources"] = [load.csv_source_id for load in found.loads if load.csv_source_id is not None]
    with translated("undo an import"), connection, connection.cursor() as cursor:
        rows, days = 0, set[date]()
        for condition in (_BY_NUMBER, _BY_NAME) if by_name else (_BY_NUMBER,):
            cursor.execute(_DELETE_ROWS.format(condition=condition), values)
            deleted, of_days = cursor.fetchall()[0]
            rows, days = rows + deleted, days.union(of_days)
        cursor.execute(_DELETE_LETTERS, values)
        letters = cursor.rowcount
        cursor.execute(_NOTE, (json.dumps(dict(found.described)), rows, letters, sorted(days)))
        _forget(cursor, found, values)
    return PurgeReport(rows, letters, dry_run=False)


def _forget(cursor: Cursor, found: Import, values: Mapping[str, object]) -> None:
    cursor.execute(_DEPENDENT, values)
    dependent = [row[0] for row in cursor.fetchall()]
    csv_loads.retire(cursor, dependent, "rows that it had in common with a purged load are gone")
    csv_loads.retire(cursor, found.load_ids, PURGED)
    cursor.execute("update csv_loads set retired_because = %s where load_id = any(%s)", (PURGED, found.load_ids))
    cursor.execute(_FORGET_OUTCOMES, values)
    cursor.execute(_FORGET_SOURCES, values)


def _replayed(connection: Connection, loads: Sequence[CsvLoad]) -> set[int]:
    """Returns which of the loads have dead letters that were sent again: behind the last record of their own run."""
    with translated("look for replayed dead letters"), connection.cursor() as cursor:
        cursor.execute(_REPLAYED, {"loads": [load.load_id for load in loads]})
        return {load_id for (load_id,) in cursor.fetchall()}


def _last_places(loads: Sequence[CsvLoad], ends: LogEnds, replayed: Collection[int]) -> dict[str, dict[int, int]]:
    """Returns for each topic and partition the offset after the last one that a record of the loads may have."""
    wanted: dict[str, dict[int, int]] = {}
    for load in loads:
        topic_id = load.progress.topic_id
        if topic_id is None or (ends.topic_id is not None and topic_id != ends.topic_id):
            continue  # a topic that is gone brings nothing back
        places = wanted.setdefault(topic_id, {})
        sent = {number: last + 1 for number, last in load.progress.last_offsets.items()}
        all_recorded = load.state == "loaded" and load.load_id not in replayed
        # A load that was killed may have sent more than it recorded, and so has a replay.
        for number, end in (sent if all_recorded else {**sent, **ends.next_offsets}).items():
            places[number] = max(end, places.get(number, 0))
    return wanted
