"""Everything that a soak runs, and what each action of the schedule does to it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
from tests.waiting import wait_until

FIRST_CONSUMER = 1
HEALED_S = 120.0
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
        wait_until(self.loads.whole, HEALED_S, "every file loaded")
        self.upstream.wait()
        self.feed.stop()
        wait_until(lambda: self.reader.looks > looks, HEALED_S, "a snapshot of the healed ledger")
        wait_until(self._reached_end, REACHED_S, "the ledger at the end of the topic")
        self.consumers.stop()
        wait_until(self.consumers.gone, HEALED_S, "the end of every consumer")

    def _reached_end(self) -> bool:
        self.consumers.watch()
        return ledger_reached_end(self.stack)


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


def _kill_kafka(scene: Scene, given: Parameters) -> None:
    scene.servers.signal(scene.servers.kafka, signal.SIGKILL)


def _start_kafka(scene: Scene, given: Parameters) -> None:
    scene.servers.start_again(scene.servers.kafka)


def _freeze_kafka(scene: Scene, given: Parameters) -> None:
    scene.servers.signal(scene.servers.kafka, signal.SIGSTOP)


def _thaw_kafka(scene: Scene, given: Parameters) -> None:
    scene.servers.signal(scene.servers.kafka, signal.SIGCONT)


def _slow_kafka(scene: Scene, given: Parameters) -> None:
    scene.servers.kafka_proxy.slow(float(given["delay_s"]), float(given["bytes_per_s"]))


def _half_open_kafka(scene: Scene, given: Parameters) -> None:
    scene.servers.kafka_proxy.half_open()


def _cut_kafka(scene: Scene, given: Parameters) -> None:
    scene.servers.kafka_proxy.cut()


def _heal_kafka(scene: Scene, given: Parameters) -> None:
    scene.servers.kafka_proxy.heal()


def _kill_postgres(scene: Scene, given: Parameters) -> None:
    scene.servers.signal(scene.servers.postgres, signal.SIGKILL)


def _stop_postgres_at_once(scene: Scene, given: Parameters) -> None:
    """What ``pg_ctl stop -m immediate`` sends."""
    scene.servers.signal(scene.servers.postgres, signal.SIGQUIT)


def _start_postgres(scene: Scene, given: Parameters) -> None:
    scene.servers.start_again(scene.servers.postgres)


def _end_sessions(scene: Scene, given: Parameters) -> None:
    end_sessions(scene.stack)


def _slow_postgres(scene: Scene, given: Parameters) -> None:
    scene.servers.postgres_proxy.slow(float(given["delay_s"]), float(given["bytes_per_s"]))


def _cut_off_postgres(scene: Scene, given: Parameters) -> None:
    scene.servers.postgres_proxy.refuse()
    scene.servers.postgres_proxy.cut()


def _drop_postgres_replies(scene: Scene, given: Parameters) -> None:
    scene.servers.postgres_proxy.drop_replies()


def _heal_postgres(scene: Scene, given: Parameters) -> None:
    scene.servers.postgres_proxy.heal()


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


ACTIONS: dict[str, Callable[[Scene, Parameters], None]] = {
    "kafka killed": _kill_kafka,
    "kafka started again": _start_kafka,
    "kafka frozen": _freeze_kafka,
    "kafka thawed": _thaw_kafka,
    "kafka slow": _slow_kafka,
    "kafka half-open": _half_open_kafka,
    "kafka connections cut": _cut_kafka,
    "kafka healed": _heal_kafka,
    "postgres killed": _kill_postgres,
    "postgres stopped at once": _stop_postgres_at_once,
    "postgres started again": _start_postgres,
    "sessions ended": _end_sessions,
    "postgres slow": _slow_postgres,
    "postgres cut off": _cut_off_postgres,
    "postgres replies dropped": _drop_postgres_replies,
    "postgres healed": _heal_postgres,
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
