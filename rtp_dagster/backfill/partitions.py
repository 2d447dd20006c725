"""The partitions of `csv_files`: one per file. Each shows what the file's last load did, or why it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from rtp_dagster.backfill.arrivals import digest
from rtp_dagster.backfill.files import CSV_FILES, FILES
from rtp_dagster.ticks import Event
from rtp_workers.batch.file_states import FileState
from rtp_workers.errors import TransientError
from rtp_workers.postgres.connection import Connection
from rtp_workers.postgres.csv_files import LastAttempt, ended, purged_rows

A_TICK = 40  # files that one tick reports at most
AFTER_S = 30.0  # the wait after a load: by then the consumer has written its rows
REMEMBERED_GONE = 150


@dataclass(frozen=True, slots=True)
class Shown:
    """What was reported before.

    Attributes:
        until_s: Unix time; attempts that ended later are still to be reported.
        gone: digests of the names of files that were reported as deleted.
        purged: how many rows of all files together were reported as purged.
    """

    until_s: float = 0.0
    gone: tuple[str, ...] = ()
    purged: int = 0


def file_events(
    states: Sequence[FileState], tried: Mapping[str, LastAttempt], shown: Shown, connection: Connection, now_s: float
) -> tuple[list[Event], Shown]:
    """Returns the events about files since the last tick, each for the file's partition, and what is reported by now.

    Args:
        states: the state of every entry in the folder.
        tried: the last attempt at every file that was ever tried.
        shown: what the last tick returned.
        connection: a read connection in autocommit mode.
        now_s: Unix time.
    """
    news = [last for last in tried.values() if shown.until_s < last.tried_at.timestamp() <= now_s - AFTER_S]
    news = sorted(news, key=lambda last: last.tried_at)[:A_TICK]
    events = [_event(last, connection) for last in news]
    here = {state.name for state in states}
    left = [name for name in sorted(tried) if name not in here]
    gone = [name for name in left if digest(name) not in shown.gone][:A_TICK] if len(left) <= REMEMBERED_GONE else []
    events += [_observed(name, "deleted", "deleted from the data folder; its rows stay") for name in gone]
    purged = purged_rows(connection)
    total = sum(purged.values())
    if total != shown.purged:
        events += [
            _observed(name, "purged", f"{rows:,} of its rows were purged")
            for name, rows in list(purged.items())[:A_TICK]
        ]
    told = tuple(digest(name) for name in left if digest(name) in shown.gone or name in gone)
    until_s = max([shown.until_s, *(last.tried_at.timestamp() for last in news)])
    return events, Shown(until_s, told, total)


def partition_key(name: str) -> str:
    """Returns the partition key of a file: its name, without the characters that Dagster does not accept in a key."""
    return name.replace("...", "\\u2026")


def _event(last: LastAttempt, connection: Connection) -> Event:
    attempt = last.attempt
    figures: dict[str, dg.MetadataValue] = {
        "state": dg.MetadataValue.text(attempt.state),
        "tried_at": dg.MetadataValue.timestamp(last.tried_at),
    }
    if attempt.size_bytes >= 0:  # an entry that is not a file has neither size nor time
        figures["size_bytes"] = dg.MetadataValue.int(attempt.size_bytes)
        figures["changed_at"] = dg.MetadataValue.timestamp(datetime.fromtimestamp(attempt.modified_ns / 1e9, UTC))
    key = partition_key(attempt.file_name)
    if attempt.state == "failed":
        figures["reason"] = dg.MetadataValue.text(attempt.detail or "")
        figures["attempts"] = dg.MetadataValue.int(last.attempts)
        return dg.AssetObservation(
            CSV_FILES, partition=key, description=f"not loaded: {attempt.detail}", metadata=figures
        )
    figures["rows"] = dg.MetadataValue.int(attempt.rows_read)
    figures["refused"] = dg.MetadataValue.int(attempt.refused)
    figures |= _ending(connection, attempt.identity) if attempt.identity else {}
    about = f"loaded: {attempt.rows_read:,} rows, {attempt.refused:,} refused"
    return dg.AssetMaterialization(CSV_FILES, partition=key, description=about, metadata=figures)


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


def _observed(name: str, state: str, about: str) -> Event:
    return dg.AssetObservation(
        CSV_FILES, partition=partition_key(name), description=about, metadata={"state": dg.MetadataValue.text(state)}
    )


def dynamic_request(events: Sequence[Event]) -> list[dg.AddDynamicPartitionsRequest]:
    """Returns the request that makes the partitions of these events; none if there are no events."""
    keys = {event.partition for event in events if isinstance(event, dg.AssetMaterialization | dg.AssetObservation)}
    return [FILES.build_add_request(sorted(key for key in keys if key))] if keys else []
