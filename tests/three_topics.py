"""Our own topic and two of others, which get the same kinds of records in rounds, for tests that kill consumers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rtp_workers.reconcile.verify import TopicCounts, verify
from tests.balanced import always_balanced
from tests.conftest import Stack
from tests.foreign_topics import new_topic, send, simple_section, sums_of, with_topics, write_sections
from tests.programs import RunningProgram
from tests.reading import query
from tests.records import produce
from tests.schema_registry import schema_registry
from tests.topic_kinds import AT_STORED, KINDS, SALE, SALE_ID, assert_each_offset_once

NEW, REPEATED = 200, 10
BAD = 2  # a round; and one record that repeats an id with other content
ONE_ROUND = NEW + REPEATED + 1 + BAD
REASONS = {
    "own": ("not_json", "null_value"),
    "json": ("not_json", "amount_not_a_number"),
    "avro": ("avro_unreadable", "unknown_schema_id"),
}


@dataclass
class ThreeTopics:
    """The topics by kind, and how many rounds each has got.

    Attributes:
        env: of a consumer of all three.
    """

    stack: Stack
    topics: dict[str, str]
    env: dict[str, str]
    rounds: Counter[str] = field(default_factory=Counter)

    @property
    def mapped(self) -> list[str]:
        """The topics that are not our own."""
        return [topic for kind, topic in self.topics.items() if kind != "own"]

    def send(self, *kinds: str) -> None:
        """Sends one round to the topics of these kinds; to all of them if none is named."""
        for kind in kinds or self.topics:
            values = values_of(kind, self.rounds[kind])
            self.rounds[kind] += 1
            if kind == "own":
                for kafka_partition in (0, 1):
                    produce(self.stack, values[kafka_partition::2], kafka_partition=kafka_partition)
            else:
                send(self.stack, self.topics[kind], values)

    def has_rows(self, rows: int = NEW) -> bool:
        """Tells whether each topic has given so many rows."""
        return all(sums_of(self.stack, topic).get("inserted", 0) >= rows for topic in self.topics.values())

    def shared_with(self, program: RunningProgram) -> bool:
        """Tells whether a consumer has been given partitions of each topic of others."""
        said = [line for line in program.output().splitlines() if '"event": "partitions_opened"' in line]
        return all(any(f'"topic": "{topic}"' in line for line in said) for topic in self.mapped)

    def assert_stored_once(self, timeout_s: float = 240) -> None:
        """Waits until everything is accounted for, and compares it with what was sent, topic by topic."""
        found = verify(self.stack.endpoints, self.stack.topic, timeout_s, mapped=self.mapped)
        assert found.problems == []
        sent = {kind: _counts(self.rounds[kind]) for kind in self.topics}
        assert found.topics == [TopicCounts(self.topics[kind], *sent[kind]) for kind in self.topics if kind != "own"]
        for kind, topic in self.topics.items():
            sums = sums_of(self.stack, topic)
            names = ("inserted", "duplicates", "dead_lettered", "skipped")
            assert tuple(sums[name] for name in names) == sent[kind][1:], topic
            assert_each_offset_once(self.stack, topic)
        self._assert_reasons()
        self.assert_values()

    def _assert_reasons(self) -> None:
        reasons = query(self.stack, "select topic, reason, count(*) as letters from dead_letters group by 1, 2")
        assert {(row["topic"], row["reason"]): row["letters"] for row in reasons} == {
            (topic, reason): self.rounds[kind]
            for kind, topic in self.topics.items()
            for reason in (*REASONS[kind], "conflicting_duplicate")
        }

    def assert_values(self) -> None:
        """Checks that each topic's rows are those that were sent to it."""
        of_topic = "from transactions join ingest_ledger using (topic_id, kafka_partition) where topic = %s"
        for kind, topic in self.topics.items():
            rows = query(self.stack, f"select transaction_id as id, amount::text as amount {of_topic}", topic)
            expected = {
                name: f"{index}.01" for number in range(self.rounds[kind]) for index, name in _names(kind, number)
            }
            assert {row["id"]: row["amount"] for row in rows} == expected
        times = query(self.stack, f"select distinct occurred_at as at {of_topic}", self.topics["avro"])
        assert [row["at"] for row in times] == [AT_STORED]


def values_of(kind: str, number: int) -> list[bytes | None]:
    """Returns a round's records: new ones, repeated ones, one that contradicts another, and bad ones."""
    make, bad = KINDS[kind]
    new = [make(name, f"{index}.01") for index, name in _names(kind, number)]
    return [*new, *new[:REPEATED], make(f"{kind}-{number}-{NEW // 2}", "0.99"), *bad]


def _names(kind: str, number: int) -> list[tuple[int, str]]:
    return [(index, f"{kind}-{number}-{index}") for index in range(NEW)]


def _counts(rounds: int) -> tuple[int, int, int, int, int]:
    """Returns records, rows, duplicates, dead letters and skipped offsets of so many rounds."""
    return rounds * ONE_ROUND, rounds * NEW, rounds * REPEATED, rounds * (BAD + 1), 0


@contextmanager
def three_topics(stack: Stack, **settings: str) -> Iterator[ThreeTopics]:
    """Makes the topics, their sections and a registry; a concurrent reader holds the ledger to its word meanwhile."""
    topics = {"own": stack.topic, "json": new_topic(stack, "json"), "avro": new_topic(stack, "avro")}
    write_sections(stack, simple_section(topics["json"]), simple_section(topics["avro"], "sales"))
    with schema_registry() as registry, always_balanced(stack):
        assert registry.add(SALE) == SALE_ID
        env = with_topics(
            stack,
            RTP_CONSUMER_BATCH_ROWS="100",
            RTP_CONSUMER_SESSION_TIMEOUT_S="6",
            RTP_SCHEMA_REGISTRY_URL=registry.url,
            **settings,
        )
        yield ThreeTopics(stack, topics, env)
