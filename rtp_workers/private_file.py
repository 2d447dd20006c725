"""Files with secrets or addresses: only their owner may read them, and a reader never sees half of one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE = 0o600


def write(
    path: Path, text: str, *, mode: int = PRIVATE, owner: tuple[int, int] | None = None, durable: bool = False
) -> None:
    """Writes a file in one step, replacing an existing one. Its folder must exist.

    Args:
        path: where.
        text: its content, written as UTF-8.
        mode: who may read it; the umask does not matter.
        owner: uid and gid of its owner; None keeps it ours.
        durable: True waits until it is on disk.

    Raises:
        OSError: it cannot be written; an existing file is untouched.
    """
    with _draft(path, text, mode, owner, durable) as draft:
        draft.replace(path)


def write_once(path: Path, text: str) -> bool:
    """Writes a file unless it exists; returns whether it did. Of two writers at once, one wins.

    Raises:
        OSError: it cannot be written.
    """
    with _draft(path, text, PRIVATE, None, durable=False) as draft:
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        return True


@contextmanager
def _draft(path: Path, text: str, mode: int, owner: tuple[int, int] | None, durable: bool) -> Iterator[Path]:
    """Yields a new file next to `path`. It never writes through a name that somebody else may have put there."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
            file.flush()
            if durable:
                os.fsync(descriptor)
            if owner is not None and owner[0] != os.getuid():
                os.fchown(descriptor, *owner)
        yield draft
    finally:
        draft.unlink(missing_ok=True)
