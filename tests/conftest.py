"""Fixtures: a real Kafka and a real PostgreSQL, started once per session; a database and a topic for each test.

Integration and e2e tests ask for `stack`. A test that kills servers takes a pair of its own from `new_servers`.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from pydantic import SecretStr

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import TransientError
from rtp_workers.kafka.topics import delete_topic, ensure_topic, log_offsets
from rtp_workers.local import passwords, ports
from rtp_workers.local.embedded import EmbeddedServers
from rtp_workers.local.kafka_server import KafkaServer, SaslUser
from rtp_workers.local.postgres_server import PostgresServer, password_name
from rtp_workers.postgres import roles
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.migrate import migrate
from tests.programs import RunningProgram, clean_env, start_program
from tests.waiting import wait_until

# How long an example takes says more about the machine's other work than about ours.
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")

# A shell that runs the tests in the background lets them, and so every program that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A port is free until somebody listens on it. Each worker of pytest-xdist chooses among ports of its own.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
MOST_WORKERS = 8
ports.FREE_RANGE = ports.FREE_RANGE[WORKER % MOST_WORKERS :: MOST_WORKERS]

TEMPLATE = "rtp_template"
SMALL_POSTGRES = {"shared_buffers": "64MB", "max_wal_size": "1GB", "min_wal_size": "80MB"}
SMALL_HEAP_MB = 384
LOG_SHOWN = 6_000  # characters of each log of a broker that no longer makes topics

# These ask real servers, on a machine that may be busy with other work: a deadline that passed is tried once more.
WITH_SERVERS = frozenset({"integration", "e2e", "browser", "compose"})

NewServers = Callable[..., EmbeddedServers]
StartRtp = Callable[..., RunningProgram]


@dataclass(frozen=True)
class Stack:
    """What one test works on: a database and a topic of its own, on the session's servers.

    Attributes:
        endpoints: with the owner's, the ingest role's and the reader's DSN.
        topic: exists, empty, 6 partitions.
        home: RTP_HOME, empty at first.
        env: the environment for processes of ours.
        producer_port, consumer_port: free; also in `env`.
    """

    endpoints: Endpoints
    topic: str
    home: Path
    env: dict[str, str]
    producer_port: int
    consumer_port: int


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets a test with servers fail once; pytest's closing lines name it as rerun. Unit and property tests may not."""
    for item in items:
        if WITH_SERVERS & set(item.path.relative_to(Path(__file__).parent).parts):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own user can enter (pytest's are 0700), removed at the end."""
    folder = new_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def servers(session_folder: Path) -> Iterator[EmbeddedServers]:
    """Kafka and PostgreSQL on free ports, with a migrated template database. Do not stop or kill them."""
    pair = small_servers(fresh_folder(session_folder, "servers"))
    pair.start()
    try:
        assert pair.postgres is not None
        make_template(pair.postgres)
        yield pair
    finally:
        pair.stop()


@pytest.fixture
def new_servers() -> Iterator[NewServers]:
    """A function that makes another pair of servers, in a home of its own, not started: ``new_servers(sasl=None)``."""
    made: list[EmbeddedServers] = []
    folder = new_folder()

    def make(sasl: SaslUser | None = None, home: Path | None = None) -> EmbeddedServers:
        made.append(small_servers(home or folder / f"home-{len(made)}", sasl))
        return made[-1]

    yield make
    for pair in made:
        pair.stop()
    shutil.rmtree(folder)


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty folder to be RTP_HOME (reachable for PostgreSQL's own user, unlike tmp_path), removed at the end."""
    folder = new_folder()
    yield folder
    remove_folder(folder)


@pytest.fixture
def stack(servers: EmbeddedServers, home: Path) -> Iterator[Stack]:
    """A cloned database and a new topic on the session's servers."""
    with stack_on(servers, home) as made:
        yield made


@pytest.fixture
def start_rtp(home: Path) -> Iterator[StartRtp]:
    """Starts ``rtp`` commands, ``start_rtp("consume", "--no-api", env=stack.env)``, and kills them at the end."""
    started: list[RunningProgram] = []
    numbers = itertools.count(1)

    def start(*arguments: str, env: dict[str, str], log: Path | None = None) -> RunningProgram:
        path = log or home / "test-logs" / f"{next(numbers)}-{arguments[0]}.log"
        started.append(start_program(*arguments, env=env, log=path))
        return started[-1]

    yield start
    for program in started:
        program.kill()
        print(f"--- {program.log.name}\n{program.output()[-4_000:]}")  # shown where the test failed


@contextmanager
def stack_on(servers: EmbeddedServers, home: Path) -> Iterator[Stack]:
    """A cloned database and a new topic on these servers, removed at the end."""
    assert servers.postgres is not None
    mark = secrets.token_hex(4)
    database, topic = f"rtp_{mark}", f"transactions-{mark}"
    clone_database(servers.postgres, database)
    endpoints = endpoints_of(servers, database)
    make_topic(servers, endpoints, topic)
    yield make_stack(endpoints, topic, home)
    delete_topic(endpoints, topic)
    drop_database(servers.postgres, database)


def make_topic(servers: EmbeddedServers, endpoints: Endpoints, topic: str) -> None:
    """Makes the topic. A broker that earlier tests have left unable to is started again, and pytest warns of it."""
    try:
        _wait_for_topic(endpoints, topic)
    except AssertionError as error:
        kafka = servers.kafka
        if kafka is None or servers.more_brokers:
            raise
        logs = "\n".join(
            path.read_text(errors="replace")[-LOG_SHOWN:] for path in sorted(kafka.home.glob("logs/kafka.*"))
        )
        warnings.warn(f"{error}; Kafka runs: {kafka.running()}, it is started again.\n{logs}", stacklevel=2)
        kafka.prepare()
        kafka.start()
        kafka.wait_ready()
        _wait_for_topic(endpoints, topic)


def _wait_for_topic(endpoints: Endpoints, topic: str) -> None:
    wait_until(lambda: _is_made(endpoints, topic), what=f"the topic {topic}")
    wait_until(lambda: _has_leaders(endpoints, topic), what=f"a leader for each partition of {topic}")


def small_servers(home: Path, sasl: SaslUser | None = None) -> EmbeddedServers:
    """Returns a pair of servers sized for tests, on free ports, not started."""
    kafka = KafkaServer(home, ports.free_port(), heap_mb=SMALL_HEAP_MB, quick_start=True, sasl=sasl)
    return EmbeddedServers(kafka, PostgresServer(home, ports.free_port(), settings=SMALL_POSTGRES))


def endpoints_of(servers: EmbeddedServers, database: str) -> Endpoints:
    """Returns the endpoints of another database of these servers."""
    found = servers.endpoints()
    names = ("postgres_dsn", "postgres_ingest_dsn", "postgres_read_dsn", "postgres_insights_dsn")
    dsns: dict[str, Any] = {name: roles.with_database(found.need(name), database) for name in names}
    return replace(found, **dsns)


def clone_database(postgres: PostgresServer, database: str) -> None:
    """Makes a migrated database from the template."""
    _as_superuser(
        postgres,
        f'create database "{database}" template {TEMPLATE} owner {roles.OWNER}',
        f'revoke all on database "{database}" from public',
        f'grant connect on database "{database}" to {roles.INGEST}, {roles.READ}',
        f'grant temporary on database "{database}" to {roles.INGEST}',
        f'grant connect, create on database "{database}" to {roles.INSIGHTS}',
    )


def drop_database(postgres: PostgresServer, database: str) -> None:
    """Removes a test's database, whoever is connected to it."""
    _as_superuser(postgres, f'drop database "{database}" with (force)')


def make_stack(endpoints: Endpoints, topic: str, home: Path) -> Stack:
    """Returns the stack and the environment that tells processes of ours about it."""
    producer_port, consumer_port = ports.free_port(), ports.free_port()
    here = replace(
        endpoints,
        producer_url=f"http://{ports.LOOPBACK}:{producer_port}",
        consumer_url=f"http://{ports.LOOPBACK}:{consumer_port}",
    )
    (home / "data").mkdir(exist_ok=True)
    env = clean_env(
        RTP_HOME=str(home),
        RTP_DATA_DIR=str(home / "data"),
        RTP_TOPIC=topic,
        # A group of its own: a killed member of a shared one would hold up the next test until its session times out.
        RTP_GROUP_ID=f"group-of-{topic}",
        RTP_KAFKA_BOOTSTRAP=here.need("kafka_bootstrap"),
        RTP_POSTGRES_DSN=here.need("postgres_dsn"),
        RTP_POSTGRES_INGEST_DSN=here.need("postgres_ingest_dsn"),
        RTP_POSTGRES_READ_DSN=here.need("postgres_read_dsn"),
        RTP_POSTGRES_INSIGHTS_DSN=here.need("postgres_insights_dsn"),
        RTP_PRODUCER_PORT=str(producer_port),
        RTP_CONSUMER_PORT=str(consumer_port),
        RTP_PRODUCER_URL=here.need("producer_url"),
        RTP_CONSUMER_URL=here.need("consumer_url"),
    )
    return Stack(here, topic, home, env, producer_port, consumer_port)


def _is_made(endpoints: Endpoints, topic: str) -> bool:
    try:
        ensure_topic(endpoints, topic)
    except TransientError:
        return False  # a broker that has just started, on a busy machine
    return True


def _has_leaders(endpoints: Endpoints, topic: str) -> bool:
    try:
        return len(log_offsets(endpoints, topic)) > 0
    except TransientError:
        return False


def make_template(postgres: PostgresServer) -> None:
    """Makes the migrated database that every test's own is cloned from."""
    names = (roles.OWNER, roles.INGEST, roles.READ, roles.INSIGHTS)
    given = {name: SecretStr(passwords.ensure(postgres.home, password_name(name))) for name in names}
    roles.bootstrap(postgres.superuser_dsn, given, database=TEMPLATE, dagster_database=None)
    migrate(postgres.dsn(roles.OWNER, TEMPLATE))


def _as_superuser(postgres: PostgresServer, *statements: str) -> None:
    connection = connect(postgres.superuser_dsn, "rtp-tests", autocommit=True)
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def fresh_folder(parent: Path, name: str) -> Path:
    """Returns a new folder in another one: a fixture whose first attempt failed does not find what that has left."""
    folder = parent / f"{name}-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o755)
    return folder


def remove_folder(folder: Path) -> None:
    """Removes a folder in which a killed server may be ending still."""

    def removed() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    wait_until(removed, what=f"the removal of {folder}")


def new_folder() -> Path:
    """Returns a new folder with mode 0755; its parent is the system's folder for temporary files."""
    folder = Path(tempfile.gettempdir()) / f"rtp-test-{secrets.token_hex(6)}"
    folder.mkdir(mode=0o755)
    return folder
