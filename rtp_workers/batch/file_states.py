"""The state of each file of the data folder: loaded, new, failed (and why), or not a file that can be opened."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rtp_workers.batch.attempts import mapping_stamp
from rtp_workers.batch.folder import GONE, Stamp, list_data
from rtp_workers.endpoints import Endpoints
from rtp_workers.postgres.connection import Connection, connect
from rtp_workers.postgres.csv_files import Attempt, LastAttempt, forget_failures, last_attempts, note
from rtp_workers.settings import PlatformSettings

FIRST_WAIT_S, LONGEST_WAIT_S = 30.0, 900.0
FORGET_AFTER_S = 600.0


@dataclass(frozen=True, slots=True)
class FileState:
    """One entry of the data folder.

    Attributes:
        name: the name as shown.
        state: ``loaded``; ``new``: not tried in its present form; ``failed``; ``refused``: not a file that can be
            opened; ``purged``: loaded, and its rows purged since. A purged file is not loaded again automatically:
            somebody wanted its rows gone.
        reason: why it is not loaded; empty for loaded and new files.
        at: the file's size and time of change now.
        mapping: the mapping file's stamp now.
        retry_at_s: Unix time at which a failed file is retried; None: only when the file or the mapping changes.
        last: the last attempt at this file, or at an earlier file of the same name.
    """

    name: str
    state: Literal["loaded", "new", "failed", "refused", "purged"]
    reason: str = ""
    at: Stamp = GONE
    mapping: str = ""
    retry_at_s: float | None = None
    last: LastAttempt | None = None

    @property
    def next_step(self) -> str:
        """What happens next to a failed or purged file."""
        if self.state == "purged":
            return f"load it again with `rtp load {self.name}`, or touch it"
        if self.retry_at_s is None:
            return "retried when the file or the mapping file changes"
        return f"retried in {max(0.0, self.retry_at_s - time.time()):.0f} s"


def folder_states(settings: PlatformSettings, connection: Connection) -> list[FileState]:
    """Returns the state of each entry, sorted by name. `connection` is in autocommit mode and may have any role.

    Raises:
        ConfigError: the folder is missing.
        TransientError: PostgreSQL is away.
    """
    return states_of(settings, last_attempts(connection))


def states_of(settings: PlatformSettings, tried: Mapping[str, LastAttempt]) -> list[FileState]:
    """Returns the state of each entry, sorted by name. `tried` holds the last attempt at each file."""
    listing, mapping = list_data(settings), mapping_stamp(settings)
    states = [FileState(entry.name, "refused", entry.reason) for entry in listing.refused]
    for file in listing.files:
        at = file.stamp()
        if at != GONE:
            states.append(file_state(file.name, at, mapping, tried.get(file.name)))
    return sorted(states, key=lambda state: state.name)


def file_state(name: str, at: Stamp, mapping: str, last: LastAttempt | None) -> FileState:
    """Returns the state of a file that can be opened."""
    if last is None or (last.attempt.size_bytes, last.attempt.modified_ns) != at:
        return FileState(name, "new", "", at, mapping, last=last)
    if last.attempt.state == "loaded" and last.retired_because:
        return FileState(name, "purged", last.retired_because, at, mapping, last=last)
    if last.attempt.state == "loaded":
        return FileState(name, "loaded", "", at, mapping, last=last)
    reason = last.attempt.detail or "the reason was not kept"
    return FileState(name, "failed", reason, at, mapping, _retry_at_s(last, mapping), last)


def note_folder(
    endpoints: Endpoints, states: Sequence[FileState], tried: Mapping[str, LastAttempt], now_s: float
) -> None:
    """Brings the stored list of failures up to date with what the folder holds.

    It stores entries that are not files as failures, with their reason. It forgets failures of files that are gone,
    but only after some time, because somebody may be loading such a file from another folder.

    Args:
        endpoints: PostgreSQL, as role rtp_ingest.
        states: the state of every entry.
        tried: the last attempt at every file that was ever tried.
        now_s: Unix time.

    Raises:
        TransientError: PostgreSQL is away.
    """
    here = {state.name for state in states}
    refused = [state for state in states if state.state == "refused" and not _is_noted(state, tried.get(state.name))]
    gone = [
        name
        for name, last in tried.items()
        if name not in here and last.attempt.state == "failed" and last.tried_at.timestamp() < now_s - FORGET_AFTER_S
    ]
    if not refused and not gone:
        return
    connection = connect(endpoints.need("postgres_ingest_dsn"), "rtp-files", autocommit=True)
    try:
        for state in refused:
            note(connection, Attempt(state.name, *GONE, "", "failed", detail=state.reason))
        forget_failures(connection, gone)
    finally:
        connection.close()


def _is_noted(state: FileState, last: LastAttempt | None) -> bool:
    return last is not None and last.attempt.state == "failed" and last.attempt.detail == state.reason


def counts(states: list[FileState]) -> Mapping[str, int]:
    """Returns how many entries are in each state."""
    kinds = ("loaded", "new", "failed", "refused", "purged")
    return {kind: sum(1 for state in states if state.state == kind) for kind in kinds}


def _retry_at_s(last: LastAttempt, mapping: str) -> float | None:
    if last.attempt.mapping != mapping:
        return 0.0
    if not last.attempt.passing:
        return None
    wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(last.attempts - 1, 10))
    return last.tried_at.timestamp() + wait_s
