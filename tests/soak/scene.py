"""Everything that a soak runs, and what each action of the schedule does to it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from rtp_workers.local.kafka_server import KafkaServer
from rtp_workers.local.postgres_server import PostgresServer
from rtp_workers.postgres.connection import connect
from rtp_workers.postgres.control import set_pause
from tests.balanced import BalanceReader
from tests.conftest import Stack
from tests.faulty_servers import FaultyServers
from tests.reading import end_sessions, ledger_reached_end
from tests.soak.consumers import Consumers
from tests.soak.feed import MixedFeed
from tests.soak.loads import Loads
from tests.soak.schedule import Parameters
from tests.soak.upstream import Upstream
from tests.tcp_proxy import TcpProxy
from tests.waiting import wait_until

FIRST_CONSUMER = 1
HEALED_S = 120.0
LOADED_S = 600.0  # each load waits for the consumer, which has everything to catch up with
REACHED_S = 120.0
# Small batches: many commits. The shortest that Kafka's group allows: frozen and slow ones lose their partitions.
CONSUMER_SETTINGS = {
    "RTP_CONSUMER_BATCH_ROWS": "200",
    "RTP_CONSUMER_SESSION_TIMEOUT_S": "6",
    "RTP_CONSUMER_MAX_POLL_INTERVAL_S": "10",
}


@dataclass(frozen=True)
class Scene:
    """What an action has at hand."""

    servers: FaultyServers
    stack: Stack
    consumers: Consumers
    loads: Loads
    feed: MixedFeed
    upstream: Upstream
    reader: BalanceReader

    def watch(self) -> None:
        """Starts again what ended, where that is the supervisor's part."""
        self.consumers.watch()
        self.loads.watch()

    def set_pause(self, *, paused: bool) -> None:
        """Pauses or resumes every consumer."""
        connection = connect(self.stack.endpoints.need("postgres_dsn"), "rtp-soak", autocommit=True)
        try:
            set_pause(connection, paused=paused, reason="soak")
        finally:
            connection.close()

    def heal(self) -> None:
        """Ends every fault, and waits until everything sent is acknowledged, loaded and in the ledger.

        Raises:
            AssertionError: it takes too long.
        """
        self.servers.mend()
        self.set_pause(paused=False)
        self.consumers.wake()
        assert self.feed.running(), "the feed has ended by itself"
        looks = self.reader.looks
        self._watched_until(self.loads.whole, LOADED_S, "every file loaded")
        self.upstream.wait()
        self.feed.stop()
        self._watched_until(lambda: self.reader.looks > looks, HEALED_S, "a snapshot of the healed ledger")
        self._watched_until(lambda: ledger_reached_end(self.stack), REACHED_S, "the ledger at the end of the topic")
        self.consumers.stop()
        self._watched_until(self.consumers.gone, HEALED_S, "the end of every consumer")

    def _watched_until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        def holds() -> bool:
            self.watch()
            return condition()

        wait_until(holds, timeout_s, what)


@contextmanager
def set_up(servers: FaultyServers, stack: Stack, seed: int, logs: Path) -> Iterator[Scene]:
    """Starts the feed, the reader and the first consumer; leaves no process behind."""
    env = {**servers.proxied(stack), **CONSUMER_SETTINGS}
    consumers, loads = Consumers(env, logs), Loads(servers.proxied(stack), stack.home / "data", logs)
    reader, upstream = BalanceReader(stack), Upstream(stack)
    feed = MixedFeed(stack, seed)
    try:
        consumers.come(FIRST_CONSUMER)
        yield Scene(servers, stack, consumers, loads, feed, upstream, reader)
    finally:
        consumers.kill()
        loads.kill()
        feed.abandon()
        reader.stop()


Action = Callable[[Scene, Parameters], None]
Server = KafkaServer | PostgresServer


def _signalled(server: Callable[[FaultyServers], Server], number: signal.Signals) -> Action:
    def act(scene: Scene, given: Parameters) -> None:
        scene.servers.signal(server(scene.servers), number)

    return act


def _started(server: Callable[[FaultyServers], Server]) -> Action:
    def act(scene: Scene, given: Parameters) -> None:
        scene.servers.start_again(server(scene.servers))

    return act


def _on_line(proxy: Callable[[FaultyServers], TcpProxy], *does: Callable[[TcpProxy], None]) -> Action:
    def act(scene: Scene, given: Parameters) -> None:
        for each in does:
            each(proxy(scene.servers))

    return act


def _slowed(proxy: Callable[[FaultyServers], TcpProxy]) -> Action:
    def act(scene: Scene, given: Parameters) -> None:
        proxy(scene.servers).slow(float(given["delay_s"]), float(given["bytes_per_s"]))

    return act


def _end_sessions(scene: Scene, given: Parameters) -> None:
    end_sessions(scene.stack)


def _pause(scene: Scene, given: Parameters) -> None:
    scene.set_pause(paused=True)


def _resume(scene: Scene, given: Parameters) -> None:
    scene.set_pause(paused=False)


def _kill_consumer(scene: Scene, given: Parameters) -> None:
    failpoint, asleep_s = str(given["next_failpoint"]), float(given["asleep_s"])
    scene.consumers.end(int(given["consumer"]), signal.SIGKILL, failpoint, asleep_s)


def _stop_consumer(scene: Scene, given: Parameters) -> None:
    scene.consumers.end(int(given["consumer"]), signal.SIGTERM)


def _freeze_consumer(scene: Scene, given: Parameters) -> None:
    scene.consumers.freeze(int(given["consumer"]), float(given["asleep_s"]))


def _consumer_comes(scene: Scene, given: Parameters) -> None:
    scene.consumers.come(int(given["consumer"]), str(given["failpoint"]), float(given["asleep_s"]))


def _consumer_goes(scene: Scene, given: Parameters) -> None:
    scene.consumers.go(int(given["consumer"]), signal.Signals[str(given["by"])])


def _load(scene: Scene, given: Parameters) -> None:
    scene.loads.begin(int(given["rows"]), str(given["failpoint"]))


def _kill_loads(scene: Scene, given: Parameters) -> None:
    scene.loads.kill()


def _transact(scene: Scene, given: Parameters) -> None:
    scene.upstream.send(int(given["records"]), str(given["then"]))


KAFKA: Callable[[FaultyServers], Server] = attrgetter("kafka")
POSTGRES: Callable[[FaultyServers], Server] = attrgetter("postgres")
KAFKA_LINE: Callable[[FaultyServers], TcpProxy] = attrgetter("kafka_proxy")
POSTGRES_LINE: Callable[[FaultyServers], TcpProxy] = attrgetter("postgres_proxy")
ACTIONS: dict[str, Action] = {
    "kafka killed": _signalled(KAFKA, signal.SIGKILL),
    "kafka started again": _started(KAFKA),
    "kafka frozen": _signalled(KAFKA, signal.SIGSTOP),
    "kafka thawed": _signalled(KAFKA, signal.SIGCONT),
    "kafka slow": _slowed(KAFKA_LINE),
    "kafka half-open": _on_line(KAFKA_LINE, TcpProxy.half_open),
    "kafka connections cut": _on_line(KAFKA_LINE, TcpProxy.cut),
    "kafka healed": _on_line(KAFKA_LINE, TcpProxy.heal),
    "postgres killed": _signalled(POSTGRES, signal.SIGKILL),
    "postgres stopped at once": _signalled(POSTGRES, signal.SIGQUIT),  # as `pg_ctl stop -m immediate` does
    "postgres started again": _started(POSTGRES),
    "postgres slow": _slowed(POSTGRES_LINE),
    "postgres cut off": _on_line(POSTGRES_LINE, TcpProxy.refuse, TcpProxy.cut),
    "postgres replies dropped": _on_line(POSTGRES_LINE, TcpProxy.drop_replies),
    "postgres healed": _on_line(POSTGRES_LINE, TcpProxy.heal),
    "sessions ended": _end_sessions,
    "paused": _pause,
    "resumed": _resume,
    "consumer killed": _kill_consumer,
    "consumer stopped": _stop_consumer,
    "consumer frozen": _freeze_consumer,
    "consumer comes": _consumer_comes,
    "consumer goes": _consumer_goes,
    "file loaded": _load,
    "loads killed": _kill_loads,
    "transaction sent": _transact,
}
