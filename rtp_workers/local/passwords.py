"""Generated passwords: one file each in ``RTP_HOME/secrets``, mode 0600, made once and kept."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

SECRETS_DIR = "secrets"
PASSWORD_BYTES = 24


def ensure(home: Path, name: str) -> str:
    """Returns the password called `name`, generating it first where there is none.

    Two processes that ask at once get the same one: the file appears whole or not at all.
    """
    path = home / SECRETS_DIR / name
    if not path.exists():
        _write_new(path, secrets.token_urlsafe(PASSWORD_BYTES))
    return path.read_text()


def exists(home: Path, name: str) -> bool:
    """Returns whether the password called `name` was generated before."""
    return (home / SECRETS_DIR / name).exists()


def _write_new(path: Path, password: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(password)
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
