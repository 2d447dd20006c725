"""Generated passwords: one file each in ``RTP_HOME/secrets``, mode 0600, created once and kept."""

from __future__ import annotations

import secrets
from pathlib import Path

from rtp_workers import private_file

SECRETS_DIR = "secrets"
PASSWORD_BYTES = 24


def ensure(home: Path, name: str) -> str:
    """Returns the password called `name`, and generates it first if there is none.

    Two processes that ask at once get the same one, because the file appears complete or not at all.
    """
    path = home / SECRETS_DIR / name
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        private_file.write_once(path, secrets.token_urlsafe(PASSWORD_BYTES))
    return path.read_text()


def exists(home: Path, name: str) -> bool:
    """Returns whether the password called `name` was generated before."""
    return (home / SECRETS_DIR / name).exists()
