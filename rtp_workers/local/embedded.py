"""Kafka and PostgreSQL of one home: started at the same time, and described as `Endpoints`."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError
from rtp_workers.local.kafka_server import KafkaServer
from rtp_workers.local.postgres_server import PostgresServer
from rtp_workers.postgres import roles


@dataclass
class EmbeddedServers:
    """The embedded servers of one home. None is the user's own server, which we leave alone. Not thread-safe."""

    kafka: KafkaServer | None
    postgres: PostgresServer | None
    more_brokers: tuple[KafkaServer, ...] = ()  # of the same cluster as `kafka`

    def start(self) -> None:
        """Starts both and waits until they serve. Roles and databases exist then. If one fails, both are stopped.

        Call it from a thread that lives as long as the servers should.

        Raises:
            ConfigError: a port is taken, or the home is not ours. FatalError, TransientError: a server does not start.
        """
        try:
            together([server.prepare for server in self._servers()])
            for server in self._servers():
                server.start()
            together([server.wait_ready for server in self._servers()])
            if self.postgres is not None:
                self.postgres.bootstrap()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops both. Safe to repeat."""
        together([server.stop for server in self._servers()])

    def endpoints(self) -> Endpoints:
        """Returns how to reach the servers that are ours."""
        postgres = self.postgres
        return Endpoints(
            kafka_bootstrap=",".join(broker.bootstrap for broker in self.brokers()) or None,
            kafka_options=self.kafka.client_options if self.kafka else {},
            postgres_dsn=postgres.dsn(roles.OWNER, roles.DATABASE) if postgres else None,
            postgres_ingest_dsn=postgres.dsn(roles.INGEST, roles.DATABASE) if postgres else None,
            postgres_read_dsn=postgres.dsn(roles.READ, roles.DATABASE) if postgres else None,
            postgres_insights_dsn=postgres.dsn(roles.INSIGHTS, roles.DATABASE) if postgres else None,
            dagster_postgres_dsn=postgres.dsn(roles.DAGSTER, roles.DAGSTER_DATABASE) if postgres else None,
        )

    def _servers(self) -> list[KafkaServer | PostgresServer]:
        return [*self.brokers(), *((self.postgres,) if self.postgres is not None else ())]

    def brokers(self) -> list[KafkaServer]:
        """Returns Kafka's brokers: one, several of a cluster, or none that is ours."""
        return [] if self.kafka is None else [self.kafka, *self.more_brokers]


def together(steps: list[Callable[[], None]]) -> None:
    """Runs the steps at the same time and waits for all; raises the first error, in the steps' order."""
    with ThreadPoolExecutor(max(len(steps), 1)) as pool:
        futures = [pool.submit(step) for step in steps]
    for future in futures:
        future.result()


def platform_lock(home: Path) -> Path:
    """Returns the file whose lock the running platform of a home holds."""
    return home / "run" / "platform.lock"


@contextmanager
def home_locked(home: Path) -> Iterator[None]:
    """Locks the home for this process: one platform per home. The kernel releases the lock when we die.

    Raises:
        ConfigError: another platform runs in it.
    """
    path = platform_lock(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"a platform is running in {home} already; stop it, or set RTP_HOME and the ports for a second one"
            ) from error
        yield
    finally:
        os.close(descriptor)
