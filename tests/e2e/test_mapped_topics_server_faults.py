"""Kafka, PostgreSQL and the registry fail under one consumer of three topics: each topic keeps every record once.

All tests share one platform and one consumer. Nobody restarts anything but the server that was killed.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rtp_workers.errors import TransientError
from rtp_workers.kafka.topics import delete_topic, ensure_topic
from rtp_workers.reconcile.verify import verify
from tests import server_faults
from tests.balanced import always_balanced
from tests.conftest import Stack, new_folder, remove_folder, stack_on
from tests.faulty_servers import FaultyServers, faulty_servers
from tests.feed import Feed
from tests.foreign_topics import new_topic, simple_section, sums_of, with_topics, write_sections
from tests.program_logs import log_lines
from tests.programs import RunningProgram, start_program
from tests.reading import query
from tests.records import produce
from tests.schema_registry import FakeRegistry, schema_registry
from tests.server_faults import ONLY_ROOT_MOUNTS, Scene, deadlock_over
from tests.topic_kinds import (
    KINDS,
    SALE,
    SALE_ID,
    Make,
    assert_each_offset_once,
    avro_record,
    json_record,
    own_record,
)
from tests.waiting import wait_until

REPEATED_EVERY, BAD_EVERY = 10, 15
PARTITIONS = 2
SEEN_S = 90.0
STORED_S = 180.0
NOTHING = {"inserted": 0, "duplicates": 0, "dead_lettered": 0, "skipped": 0}


class TopicFeed(Feed):
    """Sends new records of one topic, some of them twice, and bad ones; counts what Kafka has acknowledged."""

    records_per_tick = 4

    def __init__(self, stack: Stack, topic: str, mark: str, kind: tuple[Make, list[bytes | None]]) -> None:
        self.topic, self.mark = topic, mark
        self._make, self._bad = kind
        self.repeated = self.bad = 0
        super().__init__(replace(stack, topic=topic))

    def expected(self) -> dict[str, int]:
        """Returns what the ledger must count of the acknowledged records."""
        return {
            "inserted": len(self.acknowledged),
            "duplicates": self.repeated,
            "dead_lettered": self.bad,
            "skipped": 0,
        }

    def _send(self, number: int) -> None:
        name, amount = f"{self.mark}-{number}", f"{number}.01"
        self._produce(self._make(name, amount), partial(self._stored, name, amount))
        if number % REPEATED_EVERY == 0:
            self._produce(self._make(name, amount), self._repeated)
        if number % BAD_EVERY == 0:
            self._produce(self._bad[number // BAD_EVERY % len(self._bad)], self._refused)

    def _stored(self, name: str, amount: str, message: Any) -> None:
        self.acknowledged[name] = amount

    def _repeated(self, message: Any) -> None:
        self.repeated += 1

    def _refused(self, message: Any) -> None:
        self.bad += 1


@dataclass
class Platform:
    """The servers, what runs on them, and what is sent to each topic."""

    servers: FaultyServers
    registry: FakeRegistry
    stack: Stack
    consumer: RunningProgram
    topics: dict[str, str]
    feeds: list[TopicFeed] = field(default_factory=list)
    before: dict[str, dict[str, int]] = field(default_factory=dict)

    def feed(self, kind: str, mark: str, make: Make | None = None) -> TopicFeed:
        """Starts to send to a topic."""
        usual, bad = KINDS[kind]
        self.feeds.append(TopicFeed(self.stack, self.topics[kind], f"{kind}-{mark}", (make or usual, bad)))
        return self.feeds[-1]

    def told(self, event: str, **fields: str) -> int:
        """Returns how often the consumer has logged an event with these fields."""
        lines = [line for line in log_lines(self.consumer) if line["event"] == event]
        return sum(all(line.get(name) == value for name, value in fields.items()) for line in lines)

    def wait_for_word(self, before: int, event: str, **fields: str) -> None:
        """Waits until the consumer has logged an event once more than ``before`` times."""
        wait_until(lambda: self.told(event, **fields) > before, SEEN_S, f"the consumer's {event} {fields}")

    @property
    def scene(self) -> Scene:
        """What the faults of servers work on."""
        return Scene(self.servers, self.stack, self.consumer, [*self.topics.values()], enough=1)

    def rows_of(self, kind: str) -> int:
        """Returns how many rows have come from a topic."""
        return sums_of(self.stack, self.topics[kind]).get("inserted", 0)

    def wait_for_rows(self, *kinds: str) -> None:
        """Waits until more rows have come from each of these topics."""
        before = {kind: self.rows_of(kind) for kind in kinds}
        for kind in kinds:
            wait_until(lambda kind=kind: self.rows_of(kind) > before[kind], STORED_S, f"more rows of {kind}")  # type: ignore[misc]  # mypy cannot type lambda defaults

    @contextmanager
    def fed(self, mark: str) -> Iterator[None]:
        """Sends to every topic during the block, and then checks that each has stored just what Kafka acknowledged."""
        self.before = {topic: sums_of(self.stack, topic) or NOTHING for topic in self.topics.values()}
        self.feeds = []
        try:
            with always_balanced(self.stack):
                for kind in self.topics:
                    self.feed(kind, mark)
                yield
                for feed in self.feeds:
                    feed.stop()
                for topic in self.topics.values():
                    self.wait_until_stored(topic)
        finally:
            for feed in self.feeds:
                feed.abandon()
        for topic in self.topics.values():
            self._assert_rows(topic)
            assert_each_offset_once(self.stack, topic)

    def wait_until_stored(self, topic: str) -> None:
        """Waits until the ledger has counted exactly what Kafka has acknowledged of a topic."""
        expected = [self.before[topic], *(feed.expected() for feed in self.feeds if feed.topic == topic)]
        wanted = {name: sum(counts[name] for counts in expected) for name in NOTHING}
        wait_until(partial(self._counts, topic, wanted), STORED_S, f"{wanted} in the ledger of {topic}")

    def _counts(self, topic: str, wanted: dict[str, int]) -> bool:
        return sums_of(self.stack, topic) == wanted

    def _assert_rows(self, topic: str) -> None:
        of_topic = "topic_id in (select topic_id from ingest_ledger where topic = %s)"
        for feed in self.feeds:
            if feed.topic == topic:
                rows = query(
                    self.stack,
                    "select transaction_id as id, amount::text as amount from transactions "  # noqa: S608 - fixed text
                    f"where transaction_id like %s and {of_topic}",
                    f"{feed.mark}-%",
                    topic,
                )
                assert {row["id"]: row["amount"] for row in rows} == feed.acknowledged


@pytest.fixture(scope="module")
def shared(session_folder: Path) -> Iterator[Platform]:
    """The platform of every test here, with its consumer running."""
    home = new_folder()
    with (
        faulty_servers(session_folder / "faulty-topics") as servers,
        schema_registry() as registry,
        stack_on(servers.pair, home) as stack,
    ):
        topics = {"own": stack.topic, "json": new_topic(stack, "json"), "avro": new_topic(stack, "avro")}
        write_sections(stack, simple_section(topics["json"]), simple_section(topics["avro"], "sales"))
        assert registry.add(SALE) == SALE_ID
        env = with_topics(
            replace(stack, env=servers.proxied(stack)),
            RTP_CONSUMER_BATCH_ROWS="100",
            RTP_SCHEMA_REGISTRY_URL=registry.url,
        )
        consumer = start_program("consume", "--no-api", env=env, log=home / "consumer.log")
        try:
            yield Platform(servers, registry, stack, consumer, topics)
        finally:
            consumer.kill()
    remove_folder(home)


@pytest.fixture
def platform(shared: Platform) -> Iterator[Platform]:
    """The platform, with everything mended behind each test."""
    yield shared
    shared.registry.status = 0
    shared.servers.mend()
    print(shared.consumer.output()[-4_000:])  # shown where the test failed


def postgres_ended(number: signal.Signals) -> Callable[[Platform], None]:
    def fault(platform: Platform) -> None:
        before = {kind: platform.told("write_failed", topic=topic) for kind, topic in platform.topics.items()}
        platform.servers.signal(platform.servers.postgres, number)
        for kind, topic in platform.topics.items():
            platform.wait_for_word(before[kind], "write_failed", topic=topic)
        platform.servers.start_again(platform.servers.postgres)

    return fault


def kafka_killed(platform: Platform) -> None:
    platform.servers.signal(platform.servers.kafka, signal.SIGKILL)
    platform.servers.start_again(platform.servers.kafka)


def kafka_frozen(platform: Platform) -> None:
    before = platform.told("problem", where="kafka")
    platform.servers.signal(platform.servers.kafka, signal.SIGSTOP)
    platform.wait_for_word(before, "problem", where="kafka")
    platform.servers.signal(platform.servers.kafka, signal.SIGCONT)


def topic_made_again(platform: Platform) -> None:
    """The rows of the deleted topic stay, and the new one is read from its beginning."""
    topic, stack = platform.topics["json"], platform.stack
    (feed,) = (feed for feed in platform.feeds if feed.topic == topic)
    feed.stop()
    platform.wait_until_stored(topic)
    delete_topic(stack.endpoints, topic)
    wait_until(partial(_is_made, stack, topic), SEEN_S, "the topic, made again")
    platform.feed("json", "again")


def registry_away(platform: Platform) -> None:
    """Records of a schema that the consumer has not met yet wait; the other topics flow."""
    platform.registry.status = 500
    schema_id = platform.registry.add(SALE)
    topic = platform.topics["avro"]
    before = platform.told("problem", where="schema_registry", topic=topic)
    platform.feed("avro", "new-schema", partial(avro_record, schema_id=schema_id))
    platform.wait_for_word(before, "problem", where="schema_registry", topic=topic)
    platform.wait_for_rows("own", "json")
    platform.registry.status = 0


def line_to_kafka(platform: Platform) -> None:
    server_faults.kafka_half_open(platform.scene)


def line_to_postgres(platform: Platform) -> None:
    for fault in (server_faults.postgres_cut, server_faults.postgres_slow):
        fault(platform.scene)


def disk_full(platform: Platform) -> None:
    server_faults.postgres_disk_full(platform.scene)


def _is_made(stack: Stack, topic: str) -> bool:
    try:
        return ensure_topic(stack.endpoints, topic, partitions=PARTITIONS) is not None
    except TransientError:
        return False  # its deletion is under way


FAULTS: dict[str, Callable[[Platform], None]] = {
    "PostgreSQL killed": postgres_ended(signal.SIGKILL),
    "PostgreSQL stopped cleanly": postgres_ended(signal.SIGINT),
    "Kafka killed": kafka_killed,
    "Kafka frozen": kafka_frozen,
    "line to Kafka half-open": line_to_kafka,
    "line to PostgreSQL cut and slow": line_to_postgres,
    "disk full": disk_full,
    "registry away": registry_away,
    "topic made again": topic_made_again,
}
CASES = [pytest.param(name, marks=[ONLY_ROOT_MOUNTS] if "disk" in name else []) for name in FAULTS]


@pytest.mark.parametrize("name", CASES)
def test_each_topic_keeps_every_acknowledged_record_once(platform: Platform, name: str) -> None:
    with platform.fed(name.replace(" ", "-")):
        platform.wait_for_rows(*platform.topics)
        FAULTS[name](platform)
    mapped = [platform.topics[kind] for kind in ("json", "avro")]
    assert verify(platform.stack.endpoints, platform.stack.topic, 60, mapped=mapped).problems == []
    assert platform.consumer.running()
    assert "Traceback" not in platform.consumer.output()


def test_a_deadlock_in_one_topic_is_retried_and_holds_up_no_other(platform: Platform) -> None:
    stack, last = platform.stack, 59
    before = {kind: platform.rows_of(kind) for kind in platform.topics}
    with deadlock_over(platform.servers, stack, f"deadlock-{last}", f"deadlock-{last - 1}"):
        values = [json_record(f"deadlock-{number}", "1.00") for number in range(last + 1)]
        produce(replace(stack, topic=platform.topics["json"]), values)
        produce(stack, [own_record("flows-own", "1.00")])
        produce(replace(stack, topic=platform.topics["avro"]), [avro_record("flows-avro", "1.00")])
        for kind in ("own", "avro"):
            wait_until(lambda kind=kind: platform.rows_of(kind) == before[kind] + 1, SEEN_S, f"a row of {kind}")  # type: ignore[misc]  # mypy cannot type lambda defaults
    wait_until(lambda: platform.rows_of("json") == before["json"] + last + 1, STORED_S, "the rows of json")
    assert "deadlock" in platform.consumer.output()
