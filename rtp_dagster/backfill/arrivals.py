"""Which CSV files are new: pure decisions over what the folder holds and what an earlier tick has seen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SETTLED_AFTER_S = 10.0
WHOLE_BYTES = 32 << 20  # up to this size the identity is of every byte
PART_BYTES = 4 << 20

Stamp = tuple[int, int]  # size in bytes, time of the last change in ns


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What a tick decides.

    Attributes:
        ready: files to load, at most as many as asked for.
        waiting: files that are still being written, as far as one can see.
        left: files that are ready, for a later tick.
    """

    ready: list[str]
    waiting: list[str]
    left: int


def arrivals(
    found: Mapping[str, Stamp], seen: Mapping[str, Stamp], asked: Mapping[str, Stamp], now_ns: int, at_most: int
) -> Arrivals:
    """Chooses the files to load now.

    A file is settled when it has not changed for `SETTLED_AFTER_S` seconds, or since the last tick (a clock that is
    ahead would make it wait for ever). An empty file waits for its content.

    Args:
        found: what the folder holds, by name.
        seen: what it held at the last tick.
        asked: what was asked for already; a file that has changed since is new.
        now_ns: Unix time.
        at_most: files to load at once.
    """
    new = [name for name, stamp in sorted(found.items()) if asked.get(name) != stamp]
    settled = [name for name in new if _settled(found[name], seen.get(name), now_ns)]
    waiting = [name for name in new if name not in set(settled)]
    return Arrivals(settled[:at_most], waiting, max(0, len(settled) - at_most))


def stamp(path: Path) -> Stamp:
    """Returns the file's size and time of change."""
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def content_identity(path: Path) -> str:
    """Returns what names the file's content: the same under every name, another as soon as it grows.

    Of a file over `WHOLE_BYTES`, which a tick has no time to read, it is made of size, time of change, beginning and
    end: a copy may then be asked for once more, and the loader recognises it.
    """
    size, modified_ns = stamp(path)
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as file:
        if size <= WHOLE_BYTES:
            digest.update(file.read())
        else:
            digest.update(f" {modified_ns} ".encode() + file.read(PART_BYTES))
            file.seek(size - PART_BYTES)
            digest.update(file.read())
    return digest.hexdigest()


def _settled(now: Stamp, before: Stamp | None, now_ns: int) -> bool:
    size, modified_ns = now
    return size > 0 and (now == before or now_ns - modified_ns >= SETTLED_AFTER_S * 1e9)
