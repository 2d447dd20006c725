"""Three topics on servers that tests break: what is sent to each of them, and what the ledger must say of it."""

from __future__ import annotations

import resource
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import psutil

from rtp_workers.errors import TransientError
from rtp_workers.kafka.topics import log_offsets
from tests.balanced import always_balanced
from tests.conftest import Stack, clone_database, drop_database, endpoints_of, make_stack
from tests.faulty_servers import FaultyServers
from tests.feed import Feed
from tests.foreign_topics import sums_of
from tests.program_logs import log_lines
from tests.programs import RunningProgram, start_program
from tests.reading import query
from tests.schema_registry import FakeRegistry
from tests.server_faults import Scene
from tests.topic_kinds import KINDS, Make, assert_each_offset_once
from tests.waiting import wait_until

REPEATED_EVERY, BAD_EVERY = 10, 15
SEEN_S = 90.0
STORED_S = 360.0  # after a slow line to Kafka, joining the group alone has taken four minutes
# What a consumer of the same topics must share with ours, whatever database it stores into.
SAME_SETTINGS = ("RTP_TOPICS", "RTP_DATA_DIR", "RTP_SCHEMA_REGISTRY", "RTP_KAFKA_CLIENT_CONFIG", "RTP_CONSUMER_")
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
        # With keys, because a compacted topic takes no others.
        self._produce(self._make(name, amount), partial(self._stored, name, amount), key=name)
        if number % REPEATED_EVERY == 0:
            self._produce(self._make(name, amount), self._repeated, key=name)
        if number % BAD_EVERY == 0:
            self._produce(self._bad[number // BAD_EVERY % len(self._bad)], self._refused, key=name)

    def _stored(self, name: str, amount: str, message: Any) -> None:
        self.acknowledged[name] = amount

    def _repeated(self, message: Any) -> None:
        self.repeated += 1

    def _refused(self, message: Any) -> None:
        self.bad += 1


@dataclass
class Platform:
    """The servers, what runs on them, and what is sent to each topic.

    Attributes:
        env: the consumer's environment.
        before: what the ledger had counted of each topic before the test.
        extra: by topic and name, what the ledger must count in addition to the feeds' records.
    """

    servers: FaultyServers
    registry: FakeRegistry
    stack: Stack
    env: dict[str, str]
    consumer: RunningProgram
    topics: dict[str, str]
    feeds: list[TopicFeed] = field(default_factory=list)
    before: dict[str, dict[str, int]] = field(default_factory=dict)
    extra: Counter[tuple[str, str]] = field(default_factory=Counter)

    def stack_of(self, kind: str) -> Stack:
        """Returns the stack with this kind's topic."""
        return replace(self.stack, topic=self.topics[kind])

    def feed(self, kind: str, mark: str, make: Make | None = None) -> TopicFeed:
        """Starts to send to a topic."""
        usual, bad = KINDS[kind]
        self.feeds.append(TopicFeed(self.stack, self.topics[kind], f"{kind}-{mark}", (make or usual, bad)))
        return self.feeds[-1]

    def told(self, event: str, **fields: str) -> int:
        """Returns how often the consumer has logged an event with these fields."""
        lines = [line for line in log_lines(self.consumer) if line["event"] == event]
        return sum(all(line.get(name) == value for name, value in fields.items()) for line in lines)

    def told_of_each(self, event: str) -> dict[str, int]:
        """Returns how often the consumer has logged an event of each topic, by kind."""
        return {kind: self.told(event, topic=topic) for kind, topic in self.topics.items()}

    def wait_for_word_of_each(self, before: dict[str, int], event: str) -> None:
        """Waits until the consumer has logged an event of each topic once more than ``before``."""
        for kind, topic in self.topics.items():
            self.wait_for_word(before[kind], event, topic=topic)

    def wait_for_word(self, before: int, event: str, seen_s: float = SEEN_S, **fields: str) -> None:
        """Waits until the consumer has logged an event once more than ``before`` times."""
        self._wait(lambda: self.told(event, **fields) > before, seen_s, f"the consumer's {event} {fields}")

    def start_consumer_again(self) -> None:
        """Starts a consumer after the one before it has ended."""
        self.consumer = start_program("consume", "--no-api", env=self.env, log=self.consumer.log)

    @contextmanager
    def consumer_with_little_memory(self, more_bytes: int) -> Iterator[None]:
        """Lets the consumer have only so much more memory during the block than it has now."""
        process = psutil.Process(self.consumer.pid)
        process.rlimit(psutil.RLIMIT_DATA, (process.memory_info().data + more_bytes, resource.RLIM_INFINITY))
        yield
        process.rlimit(psutil.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    @contextmanager
    def consumer_of_another_database(self) -> Iterator[RunningProgram]:
        """Runs a consumer of the same topics, in the same group, that stores into another database."""
        database, home = f"rtp_{secrets.token_hex(4)}", self.stack.home / "other"
        home.mkdir(exist_ok=True)
        clone_database(self.servers.postgres, database)
        other = make_stack(endpoints_of(self.servers.pair, database), self.stack.topic, home)
        same = {name: value for name, value in self.env.items() if name.startswith(SAME_SETTINGS)}
        program = start_program("consume", "--no-api", env={**other.env, **same}, log=home / "consumer.log")
        try:
            yield program
        finally:
            program.kill()
            drop_database(self.servers.postgres, database)

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
            self._wait(lambda kind=kind: self.rows_of(kind) > before[kind], STORED_S, f"more rows of {kind}")  # type: ignore[misc]  # mypy cannot type lambda defaults

    def stop_feeds(self) -> None:
        """Stops sending, and waits until everything is accounted for."""
        for feed in self.feeds:
            feed.stop()
        for topic in self.topics.values():
            self.wait_until_stored(topic)

    @contextmanager
    def fed(self, mark: str) -> Iterator[None]:
        """Sends to every topic during the block, and then checks that each has stored just what Kafka acknowledged."""
        for topic in self.topics.values():  # a test that failed may have left records behind
            self._wait(partial(self._at_end, topic), STORED_S, f"the ledger at the end of {topic}")
        self.before = {topic: sums_of(self.stack, topic) or NOTHING for topic in self.topics.values()}
        self.feeds = []
        self.extra.clear()
        try:
            with always_balanced(self.stack):
                for kind in self.topics:
                    self.feed(kind, mark)
                yield
                self.stop_feeds()
        finally:
            for feed in self.feeds:
                feed.abandon()
        for topic in self.topics.values():
            self._assert_rows(topic)
            assert_each_offset_once(self.stack, topic)

    def wait_until_stored(self, topic: str) -> None:
        """Waits until the ledger has counted exactly what Kafka has acknowledged of a topic."""
        expected = [self.before[topic], *(feed.expected() for feed in self.feeds if feed.topic == topic)]
        wanted = {name: self.extra[topic, name] + sum(counts[name] for counts in expected) for name in NOTHING}
        self._wait(partial(self._counts, topic, wanted), STORED_S, f"{wanted} in the ledger of {topic}")

    def _wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Waits as `wait_until` does, and says at once if the consumer has ended, and how, or is stopped."""
        consumer = self.consumer

        def holds() -> bool:
            met = condition()
            assert met or consumer.running(), f"the consumer ended with code {consumer.process.returncode}"
            assert met or not consumer.stopped(), "a signal has stopped the consumer"
            return met

        wait_until(holds, timeout_s, what)

    def _at_end(self, topic: str) -> bool:
        try:
            ends = log_offsets(self.stack.endpoints, topic)
        except TransientError:
            return False
        stored = query(
            self.stack,
            "select kafka_partition, next_offset from ingest_ledger where topic = %s and closed_at is null",
            topic,
        )
        positions = {row["kafka_partition"]: row["next_offset"] for row in stored}
        return all(positions.get(number, 0) == end for number, (_, end) in ends.items())

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
