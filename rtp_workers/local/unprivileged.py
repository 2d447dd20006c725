"""Starting a server as root: PostgreSQL refuses that, so it runs as an ordinary user, who may not reach our folders.

No folder gets a wider mode for this. What the user cannot reach (a home or a virtual environment under /root, say) goes
to a place that it can reach: a folder of ours under the system's state folder.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rtp_workers.errors import ConfigError

# nobody first: it owns nothing else. It needs an entry in the user database, because initdb looks its name up.
ACCOUNTS = ("nobody", "daemon")
STATE_ROOTS = (Path("/var/lib"), Path("/var/tmp"))
OUR_FOLDER = "real-time-data-platform"
LOCATION_NOTE = Path("postgres") / "location"  # below the home: where the data is instead
HOME_NOTE = ".home"  # next to the data: which home it belongs to


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a server runs as."""

    uid: int
    gid: int


def server_account() -> Account | None:
    """Returns the user to change to, or None if we are an ordinary user already.

    Raises:
        ConfigError: we are root and the system has none of `ACCOUNTS`.
    """
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ConfigError(
        f"PostgreSQL does not run as root, and there is no user {' or '.join(ACCOUNTS)}; run as another user"
    )


def can_run(account: Account | None, program: Path) -> bool:
    """Returns whether that user can execute `program` and everything that it needs."""
    if account is None:
        return True
    return _as(account, [str(program), "--version"])


def can_enter(account: Account | None, folder: Path) -> bool:
    """Returns whether that user can enter `folder`."""
    return account is None or _as(account, ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)])


def private_folder(account: Account, near: Path, name: str) -> Path:
    """Returns a new folder that only `account` may open, at a place that it can reach.

    Args:
        account: its owner.
        near: the preferred parent, created if missing; if it is out of reach, a folder of ours under `STATE_ROOTS`.
        name: the folder's name below `near`; elsewhere the beginning of it.
    """
    near.mkdir(parents=True, exist_ok=True)
    folder = (
        near / name
        if can_enter(account, near)
        else Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_state_folder(account)))
    )
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, account.uid, account.gid)
    return folder


def note_home(folder: Path, home: Path) -> None:
    """Records, next to a folder of ours outside the home, which home it belongs to. Inside the home this is clear."""
    if folder.parent.name == OUR_FOLDER:
        folder.with_name(f"{folder.name}{HOME_NOTE}").write_text(str(home))


def left_behind(roots: tuple[Path, ...] = STATE_ROOTS) -> Iterator[tuple[Path, Path]]:
    """Yields (folder, home) for each folder of ours outside a home whose home no longer points to it.

    None is deleted automatically: a home that was moved, or is on a disk that is away, looks like a deleted one.
    """
    for root in roots:
        for note in sorted((root / OUR_FOLDER).glob(f"*{HOME_NOTE}")):
            folder, home = note.with_name(note.name.removesuffix(HOME_NOTE)), Path(note.read_text())
            if folder.is_dir() and not _points_to(home, folder):
                yield folder, home


def _points_to(home: Path, folder: Path) -> bool:
    try:
        return (home / LOCATION_NOTE).read_text() == str(folder)
    except OSError:
        return False


def reachable_copy(account: Account, folder: Path, program: str) -> Path:
    """Returns `folder` itself if `account` can run ``folder/program``, otherwise a copy that it can reach.

    There is one copy per path and time of change, and all platforms of this machine share it. Libraries that a wheel
    keeps next to its package (``<package>.libs``) are copied too, to where the programs look for them.

    Args:
        account: who is to run it.
        folder: right inside a Python package.
        program: of those in the folder, one that needs all of the shared libraries.
    """
    if can_run(account, folder / program):
        return folder
    package = folder.parent
    mark = hashlib.sha256(f"{folder} {(folder / program).stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = _state_folder(account) / f"{package.name}-{mark}"
    if not copy.exists():
        _copy_installation(package, folder, copy)
    installed = copy / package.name / folder.name
    if not can_run(account, installed / program):
        raise ConfigError(f"uid {account.uid} cannot run {installed / program}; is {copy.parent} mounted noexec?")
    return installed


def _copy_installation(package: Path, folder: Path, copy: Path) -> None:
    """Copies into a draft and renames it, so that `copy` is there only when it is complete."""
    draft = Path(tempfile.mkdtemp(prefix=f".{copy.name}-", dir=copy.parent))
    try:
        shutil.copytree(folder, draft / package.name / folder.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        draft.chmod(0o755)
        try:
            draft.rename(copy)
        except OSError:
            if not copy.exists():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _state_folder(account: Account) -> Path:
    for root in STATE_ROOTS:
        folder = root / OUR_FOLDER
        try:
            folder.mkdir(mode=0o755, exist_ok=True)
        except OSError:
            continue
        if folder.stat().st_uid == os.geteuid() and os.access(folder, os.W_OK) and can_enter(account, folder):
            return folder
    raise ConfigError(
        f"PostgreSQL must run as uid {account.uid}, which cannot reach RTP_HOME, and none of "
        f"{', '.join(str(root) for root in STATE_ROOTS)} can be used instead; "
        "set RTP_HOME to a folder that it can reach"
    )


def _as(account: Account, command: list[str]) -> bool:
    try:
        done = subprocess.run(
            command,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
            timeout=30,
        )
    except PermissionError:
        return False
    return done.returncode == 0
