"""Docker and one compose project, driven as a user drives them: by their command lines."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtp_workers.local.ports import free_port
from tests.programs import clean_env
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
STANDIN = ROOT.parent / "shared" / "standin"
COMPOSE = tuple(shlex.split(os.environ.get("COMPOSE", "docker compose")))
PORTS = ("KAFKA", "POSTGRES", "PRODUCER", "CONSUMER", "PGADMIN", "DAGSTER")
OURS = (
    "producer-streaming-api",
    "consumer-streaming-api",
    "batch-processor",
    "dagster-webserver",
    "dagster-daemon",
)
EIGHT = ("kafka", "postgres", "pgadmin", *OURS)


def run(*command: str, timeout_s: float = 300, check: bool = True, env: dict[str, str] | None = None) -> str:
    """Runs a command to its end and returns its stdout; a failure shows its whole output."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, cwd=ROOT, env=env or clean_env(), check=False
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def eventually(condition: Callable[[], Any], timeout_s: float, what: str) -> None:
    """Waits until the condition is true, asking once a second: each question is a process of Docker's command line."""

    def asked() -> Any:
        value = condition()
        if not value:
            time.sleep(1)
        return value

    wait_until(asked, timeout_s, what)


def docker(*arguments: str, check: bool = True) -> str:
    """Runs ``docker arguments`` and returns its stdout."""
    return run("docker", *arguments, check=check)


@dataclass
class Project:
    """One ``docker compose`` project on ports of its own, so that two test runs do not meet.

    Attributes:
        name: of the project.
        files: compose files, first the main one.
        command: of compose, v2 or 1.29.
        ports: host port by service's setting, e.g. ``ports["KAFKA"]``.
        settings: further environment for compose, e.g. a port range.
    """

    name: str
    files: tuple[str, ...] = ("docker-compose.yml",)
    command: tuple[str, ...] = COMPOSE
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in PORTS})
    settings: dict[str, str] = field(default_factory=dict)

    def compose(self, *arguments: str, check: bool = True, timeout_s: float = 300) -> str:
        """Runs compose on this project; where a start fails, the error has the last lines of the logs."""
        try:
            return run(*self._line(arguments), check=check, timeout_s=timeout_s, env=self._environment())
        except AssertionError as error:
            if arguments[0] != "up":
                raise
            raise AssertionError(f"{error}\n{self.last_logs()}") from error

    def piped(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Runs compose with bytes in and out, as ``... < file > file`` does in a shell."""
        line, env = self._line(arguments), self._environment()
        done = subprocess.run(line, input=stdin, capture_output=True, timeout=300, cwd=ROOT, env=env, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def _line(self, arguments: tuple[str, ...]) -> list[str]:
        files = [word for file in self.files for word in ("-f", file)]
        return [*self.command, *files, *arguments]

    def _environment(self) -> dict[str, str]:
        numbers = {f"RTP_{name}_PORT": str(port) for name, port in self.ports.items()}
        return clean_env(**{**numbers, **self.settings, "COMPOSE_PROJECT_NAME": self.name})

    def exec(self, service: str, *command: str, check: bool = True) -> str:
        """Runs a command in a service's container."""
        return self.compose("exec", "-T", service, *command, check=check)

    def psql(self, query: str) -> str:
        """Asks the platform's database, as the superuser over the socket; rows by line, columns by ``|``."""
        return self.exec("postgres", "psql", "-XAtqU", "postgres", "-d", "rtp", "-c", query).strip()

    def rows(self, source: str = "%") -> int:
        """Counts transactions whose source is like this pattern."""
        query = "select count(*) from transactions where source like :'source'"
        psql = ("psql", "-XAtqU", "postgres", "-d", "rtp", "-v", f"source={source}")
        return int(self.exec("postgres", "sh", "-c", f'echo "{query}" | {shlex.join(psql)}'))

    def containers(self, service: str | None = None) -> list[dict[str, Any]]:
        """Returns ``docker inspect`` of the containers, stopped ones too; one-off ones not."""
        labels = [f"com.docker.compose.project={self.name}", "com.docker.compose.oneoff=False"]
        if service is not None:
            labels.append(f"com.docker.compose.service={service}")
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        ids = docker("ps", "--all", "--quiet", *filters).split()
        return json.loads(docker("inspect", *ids)) if ids else []

    def container(self, service: str) -> dict[str, Any]:
        """Returns ``docker inspect`` of the one container of a service."""
        (found,) = self.containers(service)
        return found

    def states(self, services: Iterable[str] = EIGHT) -> dict[str, str]:
        """Returns ``healthy``, ``starting``, ``unhealthy`` or the container's state, by service."""
        found: dict[str, set[str]] = {service: set() for service in services}
        for container in self.containers():
            found.get(container["Config"]["Labels"]["com.docker.compose.service"], set()).add(_state(container))
        return {service: ", ".join(sorted(states)) for service, states in found.items()}

    def wait_healthy(self, services: Iterable[str] = EIGHT, timeout_s: float = 300) -> None:
        """Waits until every container of the services is healthy; a failure shows states and last log lines."""
        wanted = tuple(services)
        try:
            eventually(lambda: set(self.states(wanted).values()) == {"healthy"}, timeout_s, "all healthy")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.states(wanted)}\n{self.last_logs()}") from error

    def last_logs(self) -> str:
        """Returns the last lines that each service has logged."""
        return self.compose("logs", "--tail", "15", check=False)

    def kill(self, service: str) -> str:
        """SIGKILLs the first process of a service's container, as a crash would, and returns when it was started."""
        state = self.container(service)["State"]
        assert state["Running"], f"{service} does not run: {state}"
        assert state["Pid"] > 1, "0 would be our own process group"
        os.kill(state["Pid"], signal.SIGKILL)
        return str(state["StartedAt"])

    def url(self, service: str, path: str) -> str:
        """Returns the address of a page on the host; `service` as in `PORTS`."""
        return f"http://127.0.0.1:{self.ports[service]}{path}"

    def get(self, service: str, path: str) -> Any:
        """Returns a page's JSON."""
        with urllib.request.urlopen(self.url(service, path), timeout=60) as answer:
            return json.load(answer)

    def send(self, service: str, method: str, path: str, body: Any = None) -> Any:
        """Sends JSON to an API and returns its answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url(service, path), data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def verify(self) -> dict[str, Any]:
        """Runs ``rtp verify`` inside and returns its findings, agreeing or not."""
        text = self.exec("batch-processor", "rtp", "verify", "--json", "--timeout", "120s", check=False)
        found: dict[str, Any] = json.loads(text)
        return found

    def down(self) -> None:
        """Removes containers, networks and volumes."""
        self.compose("down", "--volumes", "--timeout", "20", check=False)


def _state(container: dict[str, Any]) -> str:
    state = container["State"]
    if state["Status"] == "running" and "Health" in state:
        return str(state["Health"]["Status"])
    return str(state["Status"])
