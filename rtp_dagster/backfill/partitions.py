"""The partitions of `csv_files`: one per file. Each shows what the file's last load did, or why it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from rtp_dagster.backfill.arrivals import digest
from rtp_dagster.backfill.files import CSV_FILES, FILES
from rtp_dagster.ticks import Event
from rtp_workers.batch.file_states import FileState
from rtp_workers.errors import TransientError
from rtp_workers.postgres.connection import Connection
from rtp_workers.postgres.csv_files import LastAttempt, ended, purged_rows

A_TICK = 40  # files of each kind that one tick reports at most
AFTER_S = 30.0  # the wait after a load: by then the consumer has written its rows
REMEMBERED_GONE, REMEMBERED_WAITING = 150, 60


@dataclass(frozen=True, slots=True)
class Shown:
    """What was reported before.

    Attributes:
        until_s: Unix time; attempts that ended later are still to be reported.
        gone: digests of the names of files that were reported as deleted.
        purged: how many rows of all files together were reported as purged.
        purged_files: how many of the files of these rows were reported so far.
        waiting: digests of files that were reported as waiting, each with its reason.
    """

    until_s: float = 0.0
    gone: tuple[str, ...] = ()
    purged: int = 0
    purged_files: int = 0
    waiting: tuple[str, ...] = ()

    @classmethod
    def read(cls, stored: Any) -> Shown:
        """Returns what `astuple` stored; nothing if that was something else."""
        try:
            until_s, gone, purged, *later = stored
            files, waiting = later or (0, ())
            return cls(float(until_s), tuple(map(str, gone)), int(purged), int(files), tuple(map(str, waiting)))
        except (TypeError, ValueError):
            return cls()


@dataclass(frozen=True, slots=True)
class Files:
    """What a tick knows of the files.

    Attributes:
        states: the state of every entry in the folder.
        tried: the last attempt at every file that was ever tried.
        waiting: why new files are not loaded yet, by name.
    """

    states: Sequence[FileState]
    tried: Mapping[str, LastAttempt]
    waiting: Mapping[str, str]


def file_events(files: Files, shown: Shown, connection: Connection, now_s: float) -> tuple[list[Event], Shown]:
    """Returns the events about files since the last tick, each for the file's partition, and what is reported by now.

    Args:
        files: what this tick knows of them.
        shown: what the last tick returned.
        connection: a read connection in autocommit mode.
        now_s: Unix time.
    """
    here, tried = {state.name for state in files.states}, files.tried
    back = [last for name, last in tried.items() if name in here and digest(name) in shown.gone]
    news = [last for last in tried.values() if shown.until_s < last.tried_at.timestamp() <= now_s - AFTER_S]
    news = sorted(news, key=lambda last: last.tried_at)[:A_TICK]
    events = [_tried(last, connection) for last in [*back[:A_TICK], *(last for last in news if last not in back)]]
    left = [name for name in sorted(tried) if name not in here]
    gone = [name for name in left if digest(name) not in shown.gone][:A_TICK] if len(left) <= REMEMBERED_GONE else []
    events += [
        _event(name, "deleted", "deleted from the data folder; its rows stay", _loaded(tried[name], connection))
        for name in gone
    ]
    told = {digest(name) for name in left if digest(name) in shown.gone or name in gone}
    told |= {digest(last.attempt.file_name) for last in back[A_TICK:]}
    purges, purged, purged_files = _purges(files, shown, connection)
    waits, waiting = _waits(files.waiting, shown.waiting)
    until_s = max([shown.until_s, *(last.tried_at.timestamp() for last in news)])
    return [*events, *purges, *waits], Shown(until_s, tuple(sorted(told)), purged, purged_files, waiting)


def _purges(files: Files, shown: Shown, connection: Connection) -> tuple[list[Event], int, int]:
    """Returns events about purged files, how many rows of all files are purged, and how many files are reported."""
    purged = purged_rows(connection)
    total = sum(purged.values())
    begin = shown.purged_files if total == shown.purged else 0
    if total == shown.purged and not begin:
        return [], total, 0
    names = sorted(purged)[begin : begin + A_TICK]
    events = [
        _event(name, "purged", f"{purged[name]:,} of its rows were purged", _loaded(files.tried[name], connection))
        for name in names
    ]
    end = begin + len(names)
    return events, total, end if end < len(purged) else 0


def _waits(waiting: Mapping[str, str], shown: Sequence[str]) -> tuple[list[Event], tuple[str, ...]]:
    """Returns events about files that wait for another reason than before, and what is reported by now."""
    marks = {name: f"{digest(name)} {digest(why)}" for name, why in list(waiting.items())[:REMEMBERED_WAITING]}
    new = [name for name, mark in marks.items() if mark not in shown][:A_TICK]
    told = tuple(mark for name, mark in marks.items() if mark in shown or name in new)
    return [_event(name, "waiting", waiting[name]) for name in new], told


def partition_key(name: str) -> str:
    """Returns the partition key of a file: its name, without the characters that Dagster does not accept in a key."""
    return name.replace("...", "\\u2026")


def _tried(last: LastAttempt, connection: Connection) -> Event:
    """Returns the event about an attempt that has ended."""
    attempt = last.attempt
    if attempt.state == "loaded":
        about = f"{attempt.rows_read:,} rows, {attempt.refused:,} refused"
        return _event(attempt.file_name, "loaded", about, _loaded(last, connection))
    next_step = "retried by itself" if attempt.passing else "retried when the file or the mapping file changes"
    figures = {
        "next": dg.MetadataValue.text(next_step),
        "attempts": dg.MetadataValue.int(last.attempts),
        **_attempted(last),
    }
    return _event(attempt.file_name, "failed", attempt.detail or "the reason was not kept", figures)


def _event(name: str, state: str, reason: str, figures: Mapping[str, dg.MetadataValue] | None = None) -> Event:
    """Returns what the partition's page shows first: the state and the reason, then figures.

    That page shows the last materialization, and observations only behind a button. So every state is one: the asset
    is the file, and what became of it is in the metadata. The check `files_are_loaded` is what fails.
    """
    told = {"state": dg.MetadataValue.text(state), "reason": dg.MetadataValue.text(reason)}
    return dg.AssetMaterialization(
        CSV_FILES, partition=partition_key(name), description=f"{state}: {reason}", metadata={**told, **(figures or {})}
    )


def _attempted(last: LastAttempt) -> dict[str, dg.MetadataValue]:
    attempt = last.attempt
    figures: dict[str, dg.MetadataValue] = {"tried_at": dg.MetadataValue.timestamp(last.tried_at)}
    if attempt.size_bytes >= 0:  # an entry that is no file has neither size nor time
        figures["size_bytes"] = dg.MetadataValue.int(attempt.size_bytes)
        figures["changed_at"] = dg.MetadataValue.timestamp(datetime.fromtimestamp(attempt.modified_ns / 1e9, UTC))
    return figures


def _loaded(last: LastAttempt, connection: Connection) -> dict[str, dg.MetadataValue]:
    """Returns the figures of a load; of a file that was never loaded, those of the attempt."""
    attempt = last.attempt
    figures = _attempted(last)
    if attempt.state == "loaded":
        figures["rows"] = dg.MetadataValue.int(attempt.rows_read)
        figures["refused"] = dg.MetadataValue.int(attempt.refused)
        figures |= _ending(connection, attempt.identity) if attempt.identity else {}
    return figures


def _ending(connection: Connection, identity: str) -> dict[str, dg.MetadataValue]:
    """Returns how the records of a load ended in PostgreSQL, and the dates that they cover; empty if not known.

    If a file is so large that its dates cannot be found within a tick, they are left out.
    """
    try:
        found = ended(connection, identity)
    except TransientError:
        found = None
    if found is None:
        return {}
    outcomes = found.outcomes
    counts = {
        "rows_stored": outcomes.inserted,
        "duplicates": outcomes.duplicates,
        "dead_letters": outcomes.dead_letters,
        "purged": outcomes.purged,
    }
    dates = {"first_date": found.first, "last_date": found.last}
    return {
        **{name: dg.MetadataValue.int(count) for name, count in counts.items()},
        **{name: dg.MetadataValue.timestamp(at) for name, at in dates.items() if at is not None},
    }


def dynamic_request(events: Sequence[Event]) -> list[dg.AddDynamicPartitionsRequest]:
    """Returns the request that makes the partitions of these events; none if there are no events."""
    keys = {event.partition for event in events if isinstance(event, dg.AssetMaterialization)}
    return [FILES.build_add_request(sorted(key for key in keys if key))] if keys else []
