"""The checks of ``rtp doctor``. Each is a function that returns findings, and none of them changes anything."""

from __future__ import annotations

import fcntl
import importlib.metadata
import platform
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rtp_workers import environment
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError, RtpError
from rtp_workers.kafka.topics import describe
from rtp_workers.local import kafka_jars, kafka_server, passwords, places, ports, postgres_server, unprivileged
from rtp_workers.local.embedded import platform_lock
from rtp_workers.local.versions import postgres_version
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.migrate import pending
from rtp_workers.settings import PlatformSettings
from rtp_workers.web.asking import ask

PYTHON = (3, 11)
DISK_NEEDED_BYTES, DISK_WANTED_BYTES = 500_000_000, 5_000_000_000
HTTP_TIMEOUT_S = 3.0
PACKAGES = ("confluent-kafka", "psycopg2-binary", "msgspec", "dagster")


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        check: what was checked, e.g. ``port 9092``.
        state: ``ok``, ``warning`` or ``problem``.
        detail: what was found.
        remedy: what to do; empty if there is nothing to do.
    """

    check: str
    state: str
    detail: str
    remedy: str = ""


def examine(settings: PlatformSettings, endpoints: Endpoints) -> list[Finding]:
    """Returns all findings: versions, programs, disk, secrets, then ports or the parts of a running platform."""
    usable = places_usable(settings)
    if usable.state == "problem":
        return [*versions(), usable]
    found = [
        *versions(),
        *programs(settings),
        usable,
        disk(settings.home),
        *ignored_variables(),
        *secrets(settings.home),
        *data_elsewhere(settings.home),
    ]
    running = is_running(settings.home)
    if not running:
        found += list(port_findings(settings))
    if running or settings.kafka_bootstrap:
        found.append(kafka(endpoints, settings.topic))
    if running or settings.postgres_dsn:
        found += list(postgres(endpoints))
    if running:
        found += list(apis(endpoints))
    return found


def is_running(home: Path) -> bool:
    """Returns whether a platform holds this home."""
    try:
        with platform_lock(home).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def versions() -> Iterator[Finding]:
    """Checks the versions of Python and of the packages that matter."""
    if sys.version_info[:2] >= PYTHON:
        yield Finding("Python", "ok", platform.python_version())
    else:
        yield Finding("Python", "problem", platform.python_version(), "make setup PYTHON=python3.11 (or newer)")
    for package in PACKAGES:
        try:
            yield Finding(package, "ok", importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(package, "problem", "not installed", "make setup")


def programs(settings: PlatformSettings) -> Iterator[Finding]:
    """Checks what the embedded servers need, unless the user has their own servers."""
    if settings.kafka_bootstrap is None:
        yield _outcome("Java", kafka_server.java_program, "make setup")
        if kafka_jars.cache_folder().exists():
            yield Finding("Kafka", "ok", f"{kafka_jars.kafka_version()}, in {kafka_jars.cache_folder()}")
        else:
            yield Finding(
                "Kafka",
                "warning",
                f"{kafka_jars.kafka_version()} is not downloaded yet (43 MB)",
                "nothing to do: the first start downloads it; a machine without a network needs a copy of that folder",
            )
    if settings.postgres_dsn is None:
        yield _outcome(
            "PostgreSQL",
            lambda: f"{postgres_version()}, in {postgres_server.installation()}",
            "make setup, or install the package again",
        )


def disk(home: Path) -> Finding:
    """Checks the free space where the home is, or will be."""
    folder = next(parent for parent in (home, *home.parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.1f} GB free in {folder}"
    if free < DISK_NEEDED_BYTES:
        return Finding("disk", "problem", detail, "free some space, or set RTP_HOME to another disk")
    if free < DISK_WANTED_BYTES:
        return Finding(
            "disk", "warning", detail, "a million transactions take about 1 GB in Kafka and PostgreSQL together"
        )
    return Finding("disk", "ok", detail)


def places_usable(settings: PlatformSettings) -> Finding:
    """Checks whether the servers can work with the folders that the settings name."""
    try:
        places.require_usable(settings)
    except ConfigError as error:
        return Finding("folders", "problem", str(error), "do what the message says")
    return Finding("folders", "ok", f"RTP_HOME is {settings.home}, RTP_DATA_DIR is {settings.data_dir}")


def ignored_variables() -> Iterator[Finding]:
    """Lists environment variables that are ignored, for people who rely on them."""
    names = environment.forgotten()
    if names:
        yield Finding(
            "environment",
            "warning",
            f"ignored: {', '.join(names)}",
            "put it into the DSN if you need it, or ignore this warning",
        )


def secrets(home: Path) -> Iterator[Finding]:
    """Checks whether others can read the generated passwords."""
    folder = home / passwords.SECRETS_DIR
    if not folder.exists():
        return
    wide = [path for path in (folder, *folder.iterdir()) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if wide:
        names = ", ".join(str(path) for path in wide)
        yield Finding("secrets", "problem", f"others may read {names}", f"chmod -R go-rwx {folder}")
    else:
        yield Finding("secrets", "ok", f"only its owner can read {folder}")


def data_elsewhere(home: Path) -> Iterator[Finding]:
    """Finds data outside the home (where PostgreSQL's user cannot reach it), and leftovers of deleted homes."""
    note = home / unprivileged.LOCATION_NOTE
    if note.exists():
        yield Finding("data", "ok", f"PostgreSQL's data is in {note.read_text()}: deleting {home} does not delete it")
    for folder, gone in unprivileged.left_behind():
        detail = f"{folder} has the rows of {gone}, a home that was deleted or started again"
        yield Finding(
            "data left behind", "warning", detail, f"unless that home was moved: rm -r {folder} {folder}.home"
        )


def port_findings(settings: PlatformSettings) -> Iterator[Finding]:
    """Checks whether the ports of ``rtp up`` are free."""
    needed = [("RTP_PRODUCER_PORT", settings.producer_port), ("RTP_CONSUMER_PORT", settings.consumer_port)]
    needed.append(("RTP_DAGSTER_PORT", settings.dagster_port))
    if settings.kafka_bootstrap is None:
        needed.append(("RTP_KAFKA_PORT", settings.kafka_port))
    if settings.postgres_dsn is None:
        needed.append(("RTP_POSTGRES_PORT", settings.postgres_port))
    for setting, port in needed:
        if ports.is_free(port):
            yield Finding(f"port {port}", "ok", f"free ({setting})")
        else:
            yield Finding(f"port {port}", "problem", "taken", f"stop the program that uses it, or set {setting}")


def kafka(endpoints: Endpoints, topic: str) -> Finding:
    """Checks whether Kafka answers and has the topic."""
    try:
        found = describe(endpoints, topic)
    except RtpError as error:
        return Finding("Kafka connection", "problem", str(error), "do what the message says; also see logs/kafka.log")
    if found is None:
        return Finding("Kafka connection", "problem", f"it answers, but topic {topic} is missing", "rtp topics")
    return Finding("Kafka connection", "ok", f"topic {topic}, {found.partitions} partitions")


def postgres(endpoints: Endpoints) -> Iterator[Finding]:
    """Checks whether each role can log in, and whether the schema is that of this version."""
    dsns = {
        "owner": endpoints.postgres_dsn,
        "ingest": endpoints.postgres_ingest_dsn,
        "read": endpoints.postgres_read_dsn,
    }
    for role, dsn in dsns.items():
        check = f"PostgreSQL as {role}"
        if dsn is None:
            yield Finding(check, "warning", "no DSN known", "set RTP_POSTGRES_DSN, or start `rtp up`")
            continue
        try:
            connection = connect(dsn, "rtp-doctor", autocommit=True)
        except RtpError as error:
            yield Finding(check, "problem", str(error), "check the DSN and its password, or logs/postgres.log")
            continue
        version = connection.server_version
        connection.close()
        yield Finding(check, "ok", f"PostgreSQL {version // 10_000}.{version % 10_000}")
    if endpoints.postgres_dsn is not None:
        yield _schema(endpoints.postgres_dsn)


def apis(endpoints: Endpoints) -> Iterator[Finding]:
    """Checks whether the parts that have a URL are ready."""
    paths = {"producer": "/health/ready", "consumer": "/health/ready", "dagster": "/server_info"}
    urls = {"producer": endpoints.producer_url, "consumer": endpoints.consumer_url, "dagster": endpoints.dagster_url}
    for part, url in urls.items():
        if url is None:
            continue
        try:
            answer = ask(url + paths[part], HTTP_TIMEOUT_S)
        except OSError as error:
            yield Finding(part, "problem", f"{url} does not answer ({error})", f"see logs/{part}.log")
            continue
        if answer.ok:
            yield Finding(part, "ok", url)
        else:
            reason = answer.body[:500].decode(errors="replace")
            yield Finding(part, "problem", f"{url} is not ready ({answer.status}): {reason}", f"see logs/{part}.log")


def _schema(owner_dsn: str) -> Finding:
    try:
        todo = pending(owner_dsn)
    except RtpError as error:
        return Finding("schema", "problem", str(error), "use the version of rtp that this database has")
    if todo:
        return Finding("schema", "problem", f"migrations {', '.join(todo)} are not applied", "rtp migrate")
    return Finding("schema", "ok", "up to date")


def _outcome(check: str, attempt: Callable[[], object], remedy: str) -> Finding:
    try:
        return Finding(check, "ok", str(attempt()))
    except ConfigError as error:
        return Finding(check, "problem", str(error), remedy)
