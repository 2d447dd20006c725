"""The parts of the platform that ``rtp up`` keeps running: how each is started, watched and stopped."""

from __future__ import annotations

import atexit
import importlib.util
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rtp_workers.errors import ConfigError
from rtp_workers.local import ports
from rtp_workers.local.children import Child, Program, end_orphan
from rtp_workers.local.kafka_server import KafkaServer
from rtp_workers.local.postgres_server import PostgresServer
from rtp_workers.settings import PlatformSettings
from rtp_workers.web.asking import ask

WORKER_GRACE_S = 12.0
DAGSTER_GRACE_S = 8.0
HEALTH_TIMEOUT_S = 2.0
PLAIN_PATH = re.compile(r"[A-Za-z0-9._/-]+")
SOCKET_PATH_BYTES = 103  # macOS has the shortest: 104 with the zero at the end


class Part(Protocol):
    """What the supervisor needs from a part."""

    name: str

    def prepare(self) -> None:
        """Ends leftovers, and checks ports and files. Raises ConfigError if a person must act."""

    def start(self) -> None:
        """Starts it without waiting."""

    def running(self) -> bool:
        """Returns whether its process is there."""

    def exit_code(self) -> int | None:
        """Returns the code that it ended with, None while it runs."""

    def stop(self) -> None:
        """Stops it. Safe to repeat."""


@dataclass
class ServerPart:
    """Kafka or PostgreSQL as a part."""

    name: str
    server: KafkaServer | PostgresServer

    def prepare(self) -> None:
        """As the server's."""
        self.server.prepare()

    def start(self) -> None:
        """As the server's."""
        self.server.start()

    def running(self) -> bool:
        """As the server's."""
        return self.server.running()

    def exit_code(self) -> int | None:
        """As the process's."""
        return self.server.child.process.poll() if self.server.child is not None else None

    def stop(self) -> None:
        """As the server's."""
        self.server.stop()


@dataclass
class ProgramPart:
    """One of our programs, or one of Dagster's.

    Attributes:
        name: also names its log, ``<home>/logs/<name>.log``.
        argv: program and arguments.
        home: RTP_HOME.
        env: added to our environment.
        port: the port that it listens on; None: none.
        port_setting: the setting that changes the port.
        host: the address that it listens on.
        live_path: answers 2xx on the port once it is up.
        unix_socket: the path that it listens on instead of a port.
        grace_s: the time for a clean stop.
    """

    name: str
    argv: tuple[str, ...]
    home: Path
    env: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    port_setting: str = ""
    host: str = ports.LOOPBACK
    live_path: str = "/health/live"
    unix_socket: Path | None = None
    grace_s: float = WORKER_GRACE_S

    def __post_init__(self) -> None:
        self.child: Child | None = None

    @property
    def url(self) -> str | None:
        """The URL at which it answers, from this machine."""
        return None if self.port is None else f"http://{ports.LOOPBACK}:{self.port}"

    @property
    def program(self) -> Program:
        """The program to run. It runs in our folder, where ``.env`` is."""
        return Program(
            name=self.name,
            argv=self.argv,
            log=self.home / "logs" / f"{self.name}.log",
            home=self.home,
            env={**os.environ, "RTP_HOME": str(self.home), "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", **self.env},
            cwd=Path.cwd(),
        )

    def prepare(self) -> None:
        """Ends what a killed platform left. The port must be free then."""
        if self.child is not None:
            self.child.kill()
        unclean = end_orphan(self.program, self.grace_s)
        if self.port is not None:
            wait_s = ports.AFTER_KILL_S if unclean else 0
            ports.require_free(self.port, self.port_setting, self.name, wait_s, self.host)

    def start(self) -> None:
        """Starts the program."""
        self.child = Child(self.program)

    def running(self) -> bool:
        """Returns whether its process is there."""
        return self.child is not None and self.child.running()

    def exit_code(self) -> int | None:
        """Returns the code that it ended with, None while it runs."""
        return None if self.child is None else self.child.process.poll()

    def live(self) -> bool:
        """Returns whether it answers, or, if it listens on nothing, whether it runs."""
        if self.unix_socket is not None:
            return _accepts(self.unix_socket)
        if self.url is None:
            return self.running()
        try:
            return ask(self.url + self.live_path, HEALTH_TIMEOUT_S).ok
        except OSError:
            return False

    def stop(self) -> None:
        """Asks it to stop, and kills it after `grace_s`."""
        if self.child is not None:
            self.child.stop(self.grace_s)
            self.child = None


def producer(settings: PlatformSettings) -> ProgramPart:
    """Returns the live generator."""
    return _worker(settings, "producer", "produce", settings.producer_port)


def consumer(settings: PlatformSettings) -> ProgramPart:
    """Returns the worker between Kafka and PostgreSQL."""
    return _worker(settings, "consumer", "consume", settings.consumer_port)


def _worker(settings: PlatformSettings, name: str, command: str, port: int) -> ProgramPart:
    setting = f"RTP_{name.upper()}_PORT"
    return ProgramPart(name, rtp(command), settings.home, {setting: str(port)}, port, setting, settings.bind_host)


@dataclass(frozen=True)
class DagsterParts:
    """Dagster: a code server, and the two programs that use it. They start once it listens.

    Attributes:
        folder: DAGSTER_HOME.
        code_socket: where the code server listens.
    """

    folder: Path
    code_socket: Path
    code: ProgramPart
    web: ProgramPart
    daemon: ProgramPart

    def __iter__(self) -> Iterator[ProgramPart]:
        """Yields them in the order in which they start."""
        return iter((self.code, self.web, self.daemon))


def dagster(settings: PlatformSettings) -> DagsterParts | None:
    """Returns Dagster's programs; None if our definitions are not installed."""
    if importlib.util.find_spec("rtp_dagster.definitions") is None:
        return None
    if importlib.util.find_spec("dagster_webserver") is None:
        raise ConfigError("dagster-webserver is not installed; run `make setup`, or leave out dagster with --only")
    home, folder = settings.home, settings.home / "dagster"
    env = {"DAGSTER_HOME": str(folder)}
    code_socket = socket_path(home)
    serve = (sys.executable, "-m", "rtp_dagster.code_server", "--socket", str(code_socket))
    workspace = ("-w", str(folder / "workspace.yaml"))
    serve_ui = (sys.executable, "-m", "rtp_dagster.webserver", "-h", settings.bind_host)
    web = (*serve_ui, "-p", str(settings.dagster_port), *workspace)
    daemon = (script("dagster-daemon"), "run", *workspace)
    return DagsterParts(
        folder,
        code_socket,
        ProgramPart("dagster-code", serve, home, env, unix_socket=code_socket, grace_s=DAGSTER_GRACE_S),
        ProgramPart(
            "dagster-webserver",
            web,
            home,
            env,
            settings.dagster_port,
            "RTP_DAGSTER_PORT",
            settings.bind_host,
            "/server_info",
            grace_s=DAGSTER_GRACE_S,
        ),
        ProgramPart("dagster-daemon", daemon, home, env, grace_s=DAGSTER_GRACE_S),
    )


def socket_path(home: Path) -> Path:
    """Returns where the code server listens: in the home, or in a private folder of ours if that path does not fit.

    gRPC's address of a socket is a URI: blanks, percent signs and letters outside ASCII would change it.
    """
    path = home.absolute() / "run" / "dagster.sock"
    path.parent.mkdir(parents=True, exist_ok=True)
    if _fits_in_address(path):
        return path
    folder = Path(
        tempfile.mkdtemp(prefix="rtp-", dir=None if _fits_in_address(Path(tempfile.gettempdir())) else "/tmp")
    )
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / "dagster.sock"


def _fits_in_address(path: Path) -> bool:
    return len(os.fsencode(path)) <= SOCKET_PATH_BYTES and PLAIN_PATH.fullmatch(str(path)) is not None


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(HEALTH_TIMEOUT_S)
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def rtp(*arguments: str) -> tuple[str, ...]:
    """Returns the command line of one of our subcommands, in this same installation."""
    return (sys.executable, "-m", "rtp_workers.cli.main", *arguments)


def script(name: str) -> str:
    """Returns the path of a console script of this installation."""
    return str(Path(sys.executable).parent / name)
