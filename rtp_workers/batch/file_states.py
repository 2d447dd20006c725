"""What has become of each file of the data folder: loaded, new, failed and why, or not a file that can be opened."""

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
        name: as shown.
        state: ``loaded``; ``new``: not tried as it is now; ``failed``; ``refused``: no file that can be opened;
            ``purged``: loaded, and undone since. It is not loaded again by itself: somebody wanted its rows gone.
        reason: why it is not loaded; empty for those that are, and for new ones.
        at: the file as it is now.
        mapping: the mapping file as it is now.
        retry_at_s: Unix time at which a failed one is due again; None: not before the file or the mapping changes.
        last: the last attempt, of this file or of one that had its name.
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
        """What happens next to one that is failed or purged."""
        if self.state == "purged":
            return f"load it again with `rtp load {self.name}`, or touch it"
        if self.retry_at_s is None:
            return "retried when the file or the mapping file changes"
        return f"retried in {max(0.0, self.retry_at_s - time.time()):.0f} s"


def folder_states(settings: PlatformSettings, connection: Connection) -> list[FileState]:
    """Returns the state of each entry, by name. `connection` is in autocommit mode; any role.

    Raises:
        ConfigError: the folder is missing. TransientError: PostgreSQL is away.
    """
    return states_of(settings, last_attempts(connection))


def states_of(settings: PlatformSettings, tried: Mapping[str, LastAttempt]) -> list[FileState]:
    """Returns the state of each entry, by name, where it is known how the last attempts ended."""
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
    """Notes what the folder shows and no attempt tells, so that the list of failures is the folder's own.

    That is: entries that are no files, as failures with their reason; and failures of files that are gone, which are
    forgotten after a while. The while is for files that somebody loads from another folder.

    Args:
        endpoints: PostgreSQL as rtp_ingest.
        states: of every entry.
        tried: the last attempt of every file that was ever tried.
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
