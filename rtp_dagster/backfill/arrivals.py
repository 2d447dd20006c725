"""Decides which CSV files to load now, from what the folder holds and what earlier ticks have requested. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from rtp_workers.batch.file_states import FileState
from rtp_workers.batch.folder import Stamp

SETTLED_AFTER_S = 10.0
ASK_AGAIN_S, LONGEST_ASK_S = 60.0, 900.0  # for a run that was requested and has left no trace
REMEMBERED = 130  # of each kind, so that the cursor stays small however many files there are
GRACE_S = 30.0  # between a tick that requests a run and the run's start


@dataclass(frozen=True, slots=True)
class Ask:
    """A run that was requested, and whose outcome is not known yet.

    Attributes:
        of: the signature of the file and the mapping at that time.
        times: how often the run was requested.
        at_s: Unix time of the last request.
    """

    of: str
    times: int
    at_s: float

    @property
    def again_at_s(self) -> float:
        """When to request it again if no run is at work on the file."""
        return self.at_s + min(LONGEST_ASK_S, ASK_AGAIN_S * 2.0 ** min(self.times - 1, 10))


@dataclass(frozen=True, slots=True)
class Memory:
    """What one tick hands to the next. It covers only files that are neither loaded nor known to have failed.

    Attributes:
        asked: runs that were requested, by digest of the file's name.
        seen: the last seen state of files that are being written, by digest of the name.
    """

    asked: dict[str, Ask] = field(default_factory=dict)
    seen: dict[str, Stamp] = field(default_factory=dict)

    @classmethod
    def read(cls, stored: dict[str, Any]) -> Memory:
        """Returns what `written` stored. What another version stored is dropped, which costs one more look."""
        try:
            asked = {name: Ask(str(of), int(times), float(at_s)) for name, (of, times, at_s) in stored["ask"].items()}
            seen = {name: (int(size), int(modified)) for name, (size, modified) in stored["seen"].items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls()
        return cls(asked, seen)

    def written(self) -> dict[str, Any]:
        """Returns the memory as an object for JSON."""
        asked = {name: [ask.of, ask.times, round(ask.at_s, 1)] for name, ask in self.asked.items()}
        return {"ask": asked, "seen": self.seen}


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What a tick decides.

    Attributes:
        ready: files to load now, `at_most` of them.
        waiting: by file name, why a file that is not loaded is not in `ready`. Failed files are left out.
        memory: what the next tick needs.
    """

    ready: list[FileState]
    waiting: dict[str, str]
    memory: Memory


def arrivals(
    states: Sequence[FileState], before: Memory, running: Collection[str], now_s: float, at_most: int
) -> Arrivals:
    """Chooses the files to load now.

    A file is settled when it has not changed for `SETTLED_AFTER_S` seconds, or since the last tick. (By age alone, a
    file from a clock that is ahead would wait forever.) An empty file waits for its content.

    Args:
        states: the state of every entry in the folder.
        before: the last tick's memory.
        running: names of the files that have a queued or running run.
        now_s: Unix time.
        at_most: how many files may be loaded at once.
    """
    ready: list[FileState] = []
    waiting: dict[str, str] = {}
    asked: dict[str, Ask] = {}
    seen: dict[str, Stamp] = {}
    for state in states:
        if state.state in ("loaded", "refused", "purged"):
            continue
        name = digest(state.name)
        ask = before.asked.get(name)
        if ask is not None and (ask.of != signature(state) or _known(state, ask)):
            ask = None
        if ask is not None:
            asked[name] = ask
        why = _why_not_now(state, ask, before.seen.get(name), state.name in running, now_s)
        if why is None and len(ready) < at_most and (ask is not None or len(asked) < REMEMBERED):
            ready.append(state)
            asked[name] = Ask(signature(state), 1 if ask is None else ask.times + 1, now_s)
        elif state.state == "new":
            waiting[state.name] = why or "waiting for its turn"
            if why == BEING_WRITTEN and len(seen) < REMEMBERED:
                seen[name] = state.at
    return Arrivals(ready, waiting, Memory(asked, seen))


BEING_WRITTEN = "still being written, or empty"


def digest(name: str) -> str:
    """Returns a short key for a file's name, which may be long and contain any character."""
    return hashlib.blake2b(name.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()


def signature(state: FileState) -> str:
    """Returns a text that changes whenever the file or the mapping file changes or is touched."""
    return hashlib.blake2b(f"{state.at} {state.mapping}".encode(), digest_size=6).hexdigest()


def _known(state: FileState, ask: Ask) -> bool:
    """Tells whether an attempt has ended since the run was requested."""
    return state.state == "failed" and state.last is not None and state.last.tried_at.timestamp() > ask.at_s


def _why_not_now(state: FileState, ask: Ask | None, seen: Stamp | None, running: bool, now_s: float) -> str | None:
    """Returns why no run for this file is requested now; None if one is."""
    if running:
        return "a run for it is queued or running"
    if ask is not None and now_s < max(ask.again_at_s, ask.at_s + GRACE_S):
        times = "once" if ask.times == 1 else f"{ask.times} times"
        return f"a run was requested {times}; if it has left no result, see the runs of batch_backfill"
    if state.state == "failed":
        return None if state.retry_at_s is not None and now_s >= state.retry_at_s else "failed"
    size_bytes, modified_ns = state.at
    settled = size_bytes > 0 and (state.at == seen or now_s - modified_ns / 1e9 >= SETTLED_AFTER_S)
    return None if settled else BEING_WRITTEN
