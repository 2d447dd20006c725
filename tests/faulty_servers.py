"""A pair of servers of a test's own, to be killed, frozen, slowed and cut off at will."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg2.extensions import make_dsn, parse_dsn

from rtp_workers.local import ports
from rtp_workers.local.children import Child
from rtp_workers.local.embedded import EmbeddedServers
from rtp_workers.local.kafka_server import KafkaServer
from rtp_workers.local.postgres_server import PostgresServer
from rtp_workers.postgres import roles
from rtp_workers.postgres.connection import Connection, connect
from tests.conftest import SMALL_HEAP_MB, SMALL_POSTGRES, Stack, make_template
from tests.tcp_proxy import TcpProxy


@dataclass
class ProxiedKafka(KafkaServer):
    """A broker that sends its clients to a proxy, which stands between it and all of them."""

    proxy_port: int = 0

    @property
    def bootstrap(self) -> str:
        """``host:port`` of the proxy."""
        return f"{ports.LOOPBACK}:{self.proxy_port}"

    def _properties(self, data: Path) -> str:
        text = super()._properties(data)
        listeners = next(line for line in text.splitlines() if line.startswith("listeners=")).partition("=")[2]
        clients, broker, _ = listeners.split(",")
        advertised = clients.replace(f":{self.port}", f":{self.proxy_port}")
        return f"{text}advertised.listeners={advertised},{broker}\n"


@dataclass
class FaultyServers:
    """Kafka behind a proxy; PostgreSQL directly, and through a proxy for whoever takes `proxied`."""

    kafka: ProxiedKafka
    postgres: PostgresServer
    kafka_proxy: TcpProxy
    postgres_proxy: TcpProxy

    @property
    def pair(self) -> EmbeddedServers:
        """Both, as the other helpers want them."""
        return EmbeddedServers(self.kafka, self.postgres)

    def proxied(self, stack: Stack) -> dict[str, str]:
        """Returns the stack's environment, with workers sent to PostgreSQL's proxy."""
        dsn = make_dsn(stack.endpoints.need("postgres_ingest_dsn"), port=self.postgres_proxy.port)
        return {**stack.env, "RTP_POSTGRES_INGEST_DSN": dsn}

    def signal(self, server: KafkaServer | PostgresServer, number: signal.Signals) -> None:
        """Sends a signal to the server's (first) process."""
        child_of(server).process.send_signal(number)

    def start_again(self, server: KafkaServer | PostgresServer) -> None:
        """Starts a server that has died, on its data and its port, and waits until it serves."""
        child_of(server).process.wait(60)
        server.prepare()
        server.start()
        server.wait_ready()

    def mend(self) -> None:
        """Ends every fault that a test has left behind."""
        self.kafka_proxy.heal()
        self.postgres_proxy.heal()
        for server in (self.kafka, self.postgres):
            if server.running():
                self.signal(server, signal.SIGCONT)
            else:
                self.start_again(server)

    def superuser_of(self, stack: Stack) -> Connection:
        """Returns a superuser's connection to the test's database."""
        database = parse_dsn(stack.endpoints.need("postgres_dsn"))["dbname"]
        return connect(roles.with_database(self.postgres.superuser_dsn, database), "rtp-test")

    @contextmanager
    def on_small_disk(self, stack: Stack) -> Iterator[Path]:
        """Moves the table of transactions to a disk of 16 MB, which only root can make; yields its folder."""
        folder, account = stack.home / "small-disk", self.postgres.account
        assert account is not None
        folder.mkdir()
        options = f"size=16m,mode=0755,uid={account.uid},gid={account.gid}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
        superuser = self.superuser_of(stack)
        superuser.autocommit = True
        try:
            with superuser.cursor() as cursor:
                cursor.execute("create tablespace small location %s", (str(folder),))
                cursor.execute("alter table transactions set tablespace small")
                yield folder
                cursor.execute("alter table transactions set tablespace pg_default")
                cursor.execute("drop tablespace small")
        finally:
            superuser.close()
            subprocess.run(["umount", "--lazy", str(folder)], check=True)

    @contextmanager
    def deadlocks_seen_by_consumer_first(self) -> Iterator[None]:
        """Makes PostgreSQL look for a deadlock on behalf of the consumer, which is then the one to be ended."""
        superuser = connect(self.postgres.superuser_dsn, "rtp-test", autocommit=True)
        with superuser.cursor() as cursor:
            cursor.execute(f"alter role {roles.INGEST} set deadlock_timeout = '5s'")
            try:
                yield
            finally:
                cursor.execute(f"alter role {roles.INGEST} reset deadlock_timeout")
                superuser.close()


def child_of(server: KafkaServer | PostgresServer) -> Child:
    """Returns the server's process."""
    assert server.child is not None
    return server.child


@contextmanager
def faulty_servers(home: Path) -> Iterator[FaultyServers]:
    """Starts the pair, with a migrated template database, and stops it at the end."""
    kafka_port, postgres_port = ports.free_port(), ports.free_port()
    with (
        TcpProxy((ports.LOOPBACK, kafka_port)) as kafka_proxy,
        TcpProxy((ports.LOOPBACK, postgres_port)) as postgres_proxy,
    ):
        kafka = ProxiedKafka(home, kafka_port, heap_mb=SMALL_HEAP_MB, quick_start=True, proxy_port=kafka_proxy.port)
        postgres = PostgresServer(home, postgres_port, settings={**SMALL_POSTGRES, "max_connections": "30"})
        found = FaultyServers(kafka, postgres, kafka_proxy, postgres_proxy)
        found.pair.start()
        try:
            make_template(postgres)
            yield found
        finally:
            found.pair.stop()
