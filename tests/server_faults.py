"""What happens to the servers under a consumer: killed, frozen, slow, cut off, full. Each fault ends by itself."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from rtp_workers.errors import TransientError
from rtp_workers.local.kafka_server import KafkaServer
from rtp_workers.local.postgres_server import PostgresServer
from rtp_workers.postgres import roles
from rtp_workers.postgres.connection import connect
from tests.conftest import Stack
from tests.faulty_servers import FaultyServers
from tests.foreign_topics import sums_of
from tests.programs import RunningProgram
from tests.reading import query
from tests.waiting import wait_until

FROZEN_S = 20.0
SLOW = {"delay_s": 0.3, "bytes_per_s": 60_000.0}
SEEN_S = 90.0
# Over such a line, the comparison of the log with the ledger needs several attempts, each longer than the one before.
SLOWLY_S = 300.0
KAFKA_AWAY = '"where": "kafka"'
ONLY_ROOT_MOUNTS = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
INSERT = """
insert into transactions (transaction_id, occurred_at, amount, source, kafka_partition, kafka_offset)
values (%s, now(), 1, 'other', 0, 0)
"""
WAITS = "select 1 from pg_stat_activity where application_name = 'rtp-consumer' and wait_event_type = 'Lock'"


@dataclass(frozen=True)
class Scene:
    """What a fault has at hand: the servers, the test's stack, and what runs on it.

    Attributes:
        topics: which the consumer reads; empty for our own alone.
        enough: so many more rows of each topic show that records flow over a slow line.
    """

    servers: FaultyServers
    stack: Stack
    consumer: RunningProgram
    topics: Sequence[str] = ()
    enough: int = 200

    def told(self, event: str) -> Callable[[], bool]:
        """Returns the condition that the consumer logs `event` from now on."""
        before = self.consumer.output().count(event)
        return lambda: self.consumer.output().count(event) > before

    def stored(self, more: int) -> Callable[[], bool]:
        """Returns the condition that `more` rows of each topic have arrived from now on."""
        before = self._rows()
        return lambda: all(now >= rows + more for now, rows in zip(self._rows(), before, strict=True))

    def _rows(self) -> list[int]:
        return [sums_of(self.stack, topic).get("inserted", 0) for topic in self.topics or (self.stack.topic,)]


def restarted(
    server: Callable[[FaultyServers], KafkaServer | PostgresServer], number: signal.Signals, event: str
) -> Callable[[Scene], None]:
    """Kills a server, waits until the consumer says so, and starts it again."""

    def fault(scene: Scene) -> None:
        told = scene.told(event)
        scene.servers.signal(server(scene.servers), number)
        wait_until(told, SEEN_S, event)
        scene.servers.start_again(server(scene.servers))

    return fault


def kafka_frozen(scene: Scene) -> None:
    scene.servers.signal(scene.servers.kafka, signal.SIGSTOP)
    time.sleep(FROZEN_S)
    scene.servers.signal(scene.servers.kafka, signal.SIGCONT)


def kafka_half_open(scene: Scene) -> None:
    told = scene.told(KAFKA_AWAY)
    scene.servers.kafka_proxy.half_open()
    wait_until(told, SEEN_S, "the consumer's word that Kafka does not answer")
    scene.servers.kafka_proxy.heal()


def kafka_slow(scene: Scene) -> None:
    stored = scene.stored(scene.enough)
    scene.servers.kafka_proxy.slow(**SLOW)
    wait_until(stored, SLOWLY_S, "rows through a slow line")
    scene.servers.kafka_proxy.heal()


def postgres_slow(scene: Scene) -> None:
    stored = scene.stored(scene.enough)
    scene.servers.postgres_proxy.slow(**SLOW)
    wait_until(stored, SEEN_S, "rows through a slow line")
    scene.servers.postgres_proxy.heal()


def postgres_cut(scene: Scene) -> None:
    told = scene.told("write_failed")
    scene.servers.postgres_proxy.refuse()
    scene.servers.postgres_proxy.cut()
    wait_until(told, SEEN_S, "a failed write")
    scene.servers.postgres_proxy.heal()


def postgres_full(scene: Scene) -> None:
    """Another program takes every connection that there is, and the consumer's are ended."""
    told = scene.told("write_failed")
    with ExitStack() as held:
        wait_until(lambda: _takes_connections(scene, held), SEEN_S, "every connection taken")
        wait_until(told, SEEN_S, "a failed write")


def _takes_connections(scene: Scene, held: ExitStack) -> bool:
    """Takes what is free, ends the ingest role's sessions, and takes those too; returns whether none is left."""
    dsn = scene.stack.endpoints.need("postgres_dsn")
    superuser = connect(scene.servers.postgres.superuser_dsn, "rtp-test", autocommit=True)
    try:
        for _ in range(40):
            try:
                held.callback(connect(dsn, "rtp-test-hog").close)
            except TransientError:
                break
        with superuser.cursor() as cursor:
            cursor.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", (roles.INGEST,))
            return cursor.rowcount == 0
    finally:
        superuser.close()


def postgres_disk_full(scene: Scene) -> None:
    told = scene.told("could not extend file")
    with scene.servers.on_small_disk(scene.stack) as folder:
        ballast = folder / "ballast"
        with pytest.raises(OSError, match="No space left"):
            ballast.write_bytes(bytes(32_000_000))
        wait_until(told, SEEN_S, "a write that found the disk full")
        stored = scene.stored(100)
        ballast.unlink()
        wait_until(stored, SEEN_S, "rows again")


@contextmanager
def deadlock_over(servers: FaultyServers, stack: Stack, first: str, then: str) -> Iterator[None]:
    """Holds an id against the consumer; after the block it asks for one that the waiting consumer holds.

    PostgreSQL ends the consumer's transaction. Then this one is rolled back.
    """
    other = servers.superuser_of(stack)
    with other, other.cursor() as cursor, servers.deadlocks_seen_by_consumer_first():
        cursor.execute("set deadlock_timeout = '1h'")
        cursor.execute(INSERT, (first,))
        yield
        waiting = "the consumer, waiting for the id"
        wait_until(lambda: query(stack, WAITS, dsn="postgres_ingest_dsn"), SEEN_S, waiting)
        cursor.execute(INSERT, (then,))
        other.rollback()
    other.close()
