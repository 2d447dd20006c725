"""Is the disk of our home full? Then Kafka and PostgreSQL, which are there too, only say that they cannot start."""

from __future__ import annotations

import shutil
from pathlib import Path

FULL_BELOW_BYTES = 20_000_000


def full_disk(home: Path) -> str | None:
    """Returns a sentence if the disk of this folder is full; None if it is not, or if that cannot be known."""
    try:
        free = shutil.disk_usage(home).free
    except OSError:
        return None
    if free >= FULL_BELOW_BYTES:
        return None
    return (
        f"the disk of {home} is full ({free / 1e6:.1f} MB are left): free some space, and everything resumes by itself"
    )
