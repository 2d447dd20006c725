"""pgAdmin without Docker: in its own environment (its pins clash with ours), with the platform's database registered.

It is installed once, under ``<home>/pgadmin``, by hash. Its user logs in as ``rtp@example.com`` with the password in
``<home>/secrets/pgadmin``, and reaches the database as the reading role, whose password is in its own pgpass file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rtp_workers import logs, private_file
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError, FatalError
from rtp_workers.local import passwords
from rtp_workers.local.parts import ProgramPart, script
from rtp_workers.postgres.roles import credentials, server_address
from rtp_workers.settings import PlatformSettings

EMAIL = "rtp@example.com"
PASSWORD = "pgadmin"  # noqa: S105 - the name of the file that holds it
REQUIREMENTS = Path(__file__).with_name("pgadmin_requirements.txt")
QUERIES = Path(__file__).with_name("pgadmin_queries")
INSTALL_TIMEOUT_S = 900
SETUP_TIMEOUT_S = 180
TAIL_CHARS = 2_000
CONFIG = '''"""Written by `rtp up --pgadmin`."""
import os
DATA_DIR = {data!r}
LOG_FILE = os.path.join(DATA_DIR, "pgadmin.log")
SQLITE_PATH = os.path.join(DATA_DIR, "pgadmin4.db")
SESSION_DB_PATH = os.path.join(DATA_DIR, "sessions")
STORAGE_DIR = os.path.join(DATA_DIR, "storage")
KERBEROS_CCACHE_DIR = os.path.join(DATA_DIR, "krbccache")
AZURE_CREDENTIAL_CACHE_DIR = os.path.join(DATA_DIR, "azurecredentialcache")
SERVER_MODE = True
MASTER_PASSWORD_REQUIRED = False
UPGRADE_CHECK_ENABLED = False
SHOW_GRAVATAR_IMAGE = False
LLM_ENABLED = False
CONSOLE_LOG_LEVEL = 30
FILE_LOG_LEVEL = 30
'''

log = logs.get("rtp.pgadmin")


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of pgAdmin below RTP_HOME."""

    root: Path

    @property
    def venv(self) -> Path:
        """The environment that it is installed in."""
        return self.root / "venv"

    @property
    def package(self) -> Path:
        """Its code, which has to be the current folder."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.venv / "lib" / version / "site-packages" / "pgadmin4"

    @property
    def data(self) -> Path:
        """Its settings and sessions."""
        return self.root / "data"

    @property
    def storage(self) -> Path:
        """The files that its user sees."""
        return self.data / "storage" / EMAIL.replace("@", "_")


def pgadmin(settings: PlatformSettings) -> ProgramPart:
    """Returns pgAdmin as a part to run. Call `install` and `configure` before its start."""
    folders = Folders(settings.home / "pgadmin")
    bind = ("--bind", f"{settings.bind_host}:{settings.pgadmin_port}")
    serving = ("--workers", "1", "--threads", "8", "--chdir", str(folders.package), "pgAdmin4:app")
    return ProgramPart(
        name="pgadmin",
        argv=(str(folders.venv / "bin" / "gunicorn"), *bind, *serving),
        home=settings.home,
        port=settings.pgadmin_port,
        port_setting="RTP_PGADMIN_PORT",
        host=settings.bind_host,
        live_path="/misc/ping",
    )


def install(home: Path) -> None:
    """Installs this version of pgAdmin if it is missing: about 450 MB, once; 15 s with uv, 60 s with pip.

    Raises:
        ConfigError: the package index is out of reach, or the disk is full; the message has the end of the installer's
            output.
    """
    folders = Folders(home / "pgadmin")
    wanted = f"{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()} {sys.version}"
    marker = folders.root / "installed"
    if marker.exists() and marker.read_text() == wanted:
        return
    log.info("installing_pgadmin", folder=str(folders.venv), takes="up to a minute, once")
    folders.root.mkdir(parents=True, exist_ok=True)
    marker.unlink(missing_ok=True)
    for step in _steps(folders.venv):
        done = subprocess.run(step, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise ConfigError(
                f"pgAdmin could not be installed into {folders.venv}; is the package index reachable? If not, "
                f"leave out --pgadmin. The end of the installer's output:\n{(done.stdout + done.stderr)[-TAIL_CHARS:]}"
            )
    (folders.package / "config_local.py").write_text(CONFIG.format(data=str(folders.data)))
    marker.write_text(wanted)


def _steps(venv: Path) -> tuple[tuple[str, ...], ...]:
    """Returns the commands that create the environment, with uv if `make setup` has installed it next to us."""
    wanted = ("--quiet", "--require-hashes", "-r", str(REQUIREMENTS))
    uv, empty = script("uv"), (sys.executable, "-m", "venv", "--clear", str(venv))
    if Path(uv).exists():
        return (*empty, "--without-pip"), (uv, "pip", "install", "--python", str(venv / "bin" / "python"), *wanted)
    return empty, (str(venv / "bin" / "pip"), "install", *wanted)


def configure(home: Path, endpoints: Endpoints) -> None:
    """Creates pgAdmin's user and registers the database. Safe to repeat. Renews the password file and the queries.

    Raises:
        ConfigError: the reading role's DSN is not known. FatalError: pgAdmin's own set-up fails.
    """
    folders = Folders(home / "pgadmin")
    dsn = endpoints.need("postgres_read_dsn")
    user, password = credentials(dsn)
    host, port, database = server_address(dsn)
    folders.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folders.data / "pgadmin4.db").exists():
        login = {"PGADMIN_SETUP_EMAIL": EMAIL, "PGADMIN_SETUP_PASSWORD": passwords.ensure(home, PASSWORD)}
        _pgadmin_setup(folders, ("setup-db",), login)
    folders.storage.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = password.get_secret_value() if password is not None else ""
    private_file.write(folders.storage / ".pgpass", f"{host}:{port}:*:{user}:{_escaped(secret)}\n")
    shutil.copytree(QUERIES, folders.storage / "queries", dirs_exist_ok=True)
    servers = json.dumps({"Servers": {"1": _server(host, port, database, user)}}, indent=1)
    registered = folders.data / "servers.json"
    if not registered.exists() or registered.read_text() != servers:
        draft = folders.data / "servers.new.json"
        draft.write_text(servers)
        _pgadmin_setup(folders, ("load-servers", str(draft), "--user", EMAIL, "--replace"), {})
        draft.replace(registered)


def _server(host: str, port: int, database: str, user: str | None) -> dict[str, object]:
    return {
        "Name": "transactions (read-only)",
        "Group": "Servers",
        "Host": host,
        "Port": port,
        "MaintenanceDB": database,
        "Username": user,
        "ConnectionParameters": {"sslmode": "prefer", "passfile": "/.pgpass", "connect_timeout": 10},
    }


def _pgadmin_setup(folders: Folders, arguments: tuple[str, ...], env: Mapping[str, str]) -> None:
    done = subprocess.run(
        (str(folders.venv / "bin" / "python"), "setup.py", *arguments),
        cwd=folders.package,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=SETUP_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        # Its output is left out, because a traceback of its command line shows local variables, including passwords.
        raise FatalError(
            f"pgAdmin's {arguments[0]} ended with code {done.returncode}; remove {folders.root} and start again"
        )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")
