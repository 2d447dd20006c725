"""Three brokers and three copies of each record: what Kafka has acknowledged is never lost, whichever of them fail."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from rtp_workers.endpoints import Endpoints, read_file
from rtp_workers.errors import ConfigError, RtpError
from rtp_workers.kafka.record_consumer import ConsumerLimits, Rebalances, RecordConsumer
from rtp_workers.kafka.topics import ensure_topic
from rtp_workers.local import ports
from rtp_workers.local.children import noted_pid
from rtp_workers.local.embedded import EmbeddedServers, together
from rtp_workers.local.kafka_cluster import brokers_for
from rtp_workers.local.kafka_server import KafkaServer
from rtp_workers.local.postgres_server import PostgresServer
from tests.balanced import always_balanced
from tests.conftest import SMALL_POSTGRES, Stack, StartRtp, make_template, new_folder, stack_on
from tests.feed import Feed, fed
from tests.programs import clean_env
from tests.records import LOG_LEVEL
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(600)

HEAP_MB = 256
WAIT_S = 180.0
SOME_RECORDS = 200
QUIET_LOOKS = 60  # of 50 ms


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedServers]:
    """Three brokers and a PostgreSQL, for this file alone: its tests kill them."""
    folder = new_folder()
    client_ports: set[int] = set()
    while len(client_ports) < 3:
        client_ports.add(ports.free_port())
    first, *others = brokers_for(folder / "home", sorted(client_ports), heap_mb=HEAP_MB, quick_start=True)
    postgres = PostgresServer(folder / "home", ports.free_port(), settings=SMALL_POSTGRES)
    servers = EmbeddedServers(first, postgres, tuple(others))
    try:
        servers.start()
        make_template(postgres)
        yield servers
    finally:
        servers.stop()
        shutil.rmtree(folder)


@pytest.fixture
def stack(cluster: EmbeddedServers, home: Path) -> Iterator[Stack]:
    """A topic and a database on the three brokers, every copy in sync."""
    with stack_on(cluster, home) as made:
        _wait_in_sync(made)
        yield made


def test_a_topic_has_three_copies_and_two_must_be_in_sync(stack: Stack, cluster: EmbeddedServers) -> None:
    report = ensure_topic(stack.endpoints, stack.topic)
    assert report.replication == 3
    assert stack.endpoints.need("kafka_bootstrap").count(",") == 2
    assert _has_all_in_sync(stack.endpoints, stack.topic)


def test_a_consumer_reads_from_the_broker_in_its_own_rack(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    partition = _partitions(stack.endpoints, stack.topic)[0]
    follower = next(node.id for node in partition.replicas if node.id != partition.leader.id)
    read_from: set[int] = set()

    def note(_: RecordConsumer, text: str) -> None:
        for told in json.loads(text)["topics"].values():
            read_from.add(told["partitions"].get("0", {}).get("broker", -1))

    monkeypatch.setattr(RecordConsumer, "_on_statistics", note)
    limits = ConsumerLimits(1_000_000, 10, 60, rack=f"rack-{follower}")
    rebalances = Rebalances(lambda partitions: None, lambda partitions: None, lambda partitions: None)
    consumer = RecordConsumer(stack.endpoints, stack.topic, stack.topic, limits, rebalances)
    try:
        consumer.start({0: 0})
        wait_until(lambda: consumer.poll(10, 0.1) and follower in read_from, WAIT_S, "a fetch from the follower")
    finally:
        consumer.close()


def test_up_runs_three_brokers_and_starts_a_killed_one_again(home: Path, start_rtp: StartRtp) -> None:
    kafka, postgres = _three_ports(), ports.free_port()
    env = clean_env(RTP_HOME=str(home), RTP_KAFKA_PORT=str(kafka), RTP_POSTGRES_PORT=str(postgres))
    up = start_rtp("up", "--brokers", "3", "--only", "kafka,postgres", env=env)
    bootstrap = ",".join(f"{ports.LOOPBACK}:{port}" for port in range(kafka, kafka + 3))
    wait_until(lambda: read_file(home).kafka_bootstrap == bootstrap, WAIT_S, "the addresses of three brokers")
    pid_file = home / "run" / "kafka-2.pid"
    before = noted_pid(pid_file)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: noted_pid(pid_file) not in (None, before), WAIT_S, "the killed broker's successor")
    endpoints = read_file(home)
    wait_until(lambda: _has_all_in_sync(endpoints, "transactions"), WAIT_S, "every copy in sync")
    up.signal(signal.SIGTERM)
    assert up.wait(WAIT_S) == 0


def test_a_home_of_three_brokers_is_refused_to_one(cluster: EmbeddedServers) -> None:
    assert cluster.kafka is not None
    with pytest.raises(ConfigError, match="3 brokers, not 1"):
        brokers_for(cluster.kafka.home, [ports.free_port()])


@contextmanager
def leader_killed(cluster: EmbeddedServers, stack: Stack, feed: Feed) -> Iterator[None]:
    """The broker that leads a partition, killed while records flow; the others take over. Back at the end."""
    broker = _leader(cluster, stack)
    _kill(broker)
    _wait_for_more(feed)
    yield
    _start([broker])


@contextmanager
def leader_frozen(cluster: EmbeddedServers, stack: Stack, feed: Feed) -> Iterator[None]:
    """A leader that hangs with its connections open; its copies take over, and it finds that out when it wakes."""
    broker = _leader(cluster, stack)
    assert broker.child is not None
    broker.child.process.send_signal(signal.SIGSTOP)
    try:
        _wait_for_more(feed)
    finally:
        broker.child.process.send_signal(signal.SIGCONT)
    yield


@contextmanager
def majority_killed(cluster: EmbeddedServers, stack: Stack, feed: Feed) -> Iterator[None]:
    """Two of three away: nothing is acknowledged until they are back."""
    gone = cluster.brokers()[:2]
    for broker in gone:
        _kill(broker)
    _wait_for_silence(feed)
    yield
    _start(gone)
    _wait_for_more(feed)


@contextmanager
def all_killed(cluster: EmbeddedServers, stack: Stack, feed: Feed) -> Iterator[None]:
    """All three at once, and started again on what the disks hold."""
    for broker in cluster.brokers():
        _kill(broker)
    yield
    _start(cluster.brokers())
    _wait_for_more(feed)


Fault = Callable[[EmbeddedServers, Stack, Feed], AbstractContextManager[None]]


@pytest.mark.parametrize("fault", [leader_killed, leader_frozen, majority_killed, all_killed])
def test_what_was_acknowledged_is_stored_once(
    fault: Fault, cluster: EmbeddedServers, stack: Stack, start_rtp: StartRtp
) -> None:
    consumer = start_rtp("consume", "--no-api", env=stack.env)
    with always_balanced(stack), fed(stack) as feed:
        _wait_for_more(feed)
        with fault(cluster, stack, feed):
            pass
        _wait_for_more(feed)
        feed.assert_stored_once(WAIT_S)
    assert consumer.running()
    _wait_in_sync(stack)


def _leader(cluster: EmbeddedServers, stack: Stack) -> KafkaServer:
    """Returns the broker that leads partition 0."""
    node_id: int = _partitions(stack.endpoints, stack.topic)[0].leader.id
    return cluster.brokers()[node_id - 1]


def _kill(broker: KafkaServer) -> None:
    assert broker.child is not None
    broker.child.kill()


def _start(brokers: list[KafkaServer]) -> None:
    """Starts killed brokers again; together, since alone one may find no majority."""
    together([broker.prepare for broker in brokers])
    for broker in brokers:
        broker.start()
    together([broker.wait_ready for broker in brokers])


def _wait_for_more(feed: Feed) -> None:
    wanted = len(feed.acknowledged) + SOME_RECORDS
    wait_until(lambda: len(feed.acknowledged) >= wanted, WAIT_S, "records acknowledged")


def _wait_for_silence(feed: Feed) -> None:
    """Waits until nothing has been acknowledged for a while."""
    seen: list[int] = []

    def silent() -> bool:
        seen.append(len(feed.acknowledged))
        return len(seen) > QUIET_LOOKS and seen[-1] == seen[-QUIET_LOOKS]

    wait_until(silent, WAIT_S, "no more acknowledgements")


def _wait_in_sync(stack: Stack) -> None:
    wait_until(lambda: _has_all_in_sync(stack.endpoints, stack.topic), WAIT_S, "every copy in sync")


def _has_all_in_sync(endpoints: Endpoints, topic: str) -> bool:
    """Tells whether every copy of each of six partitions is in sync; no while Kafka does not answer."""
    try:
        return [len(partition.isr) for partition in _partitions(endpoints, topic)] == [3] * 6
    except (RtpError, KafkaException):
        return False


def _partitions(endpoints: Endpoints, topic: str) -> list[Any]:
    admin = AdminClient({"bootstrap.servers": endpoints.need("kafka_bootstrap"), "log_level": LOG_LEVEL})
    described = admin.describe_topics(TopicCollection([topic]), request_timeout=5)[topic].result(10)
    return list(described.partitions)


def _three_ports() -> int:
    """Returns the first of three free ports in a row."""
    while True:
        first = ports.free_port()
        if all(ports.is_free(first + number) for number in range(3)):
            return first
