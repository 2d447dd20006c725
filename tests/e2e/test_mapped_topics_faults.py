"""Our own topic and two of others in two consumers, one of which is killed: each topic accounts for every offset."""

from __future__ import annotations

import signal
from functools import partial

from rtp_workers.reconcile.verify import TopicCounts, verify
from tests.balanced import always_balanced
from tests.conftest import Stack, StartRtp
from tests.foreign_topics import new_topic, send, simple_section, sums_of, with_topics, write_sections
from tests.programs import RunningProgram
from tests.reading import query
from tests.records import produce
from tests.schema_registry import schema_registry
from tests.topic_kinds import AT_STORED, KINDS, SALE, SALE_ID, assert_each_offset_once
from tests.waiting import wait_until

ROUNDS, NEW, REPEATED = 6, 200, 10
BAD = 2  # a round; and one record that repeats an id with other content


def values_of(kind: str, number: int) -> list[bytes | None]:
    """Returns a round's records: new ones, repeated ones, one that contradicts another, and bad ones."""
    make, bad = KINDS[kind]
    new = [make(f"{kind}-{number}-{index}", f"{index}.01") for index in range(NEW)]
    return [*new, *new[:REPEATED], make(f"{kind}-{number}-{NEW // 2}", "0.99"), *bad]


def send_round(stack: Stack, topics: dict[str, str], number: int) -> None:
    for kind, topic in topics.items():
        values = values_of(kind, number)
        if kind == "own":
            for kafka_partition in (0, 1):
                produce(stack, values[kafka_partition::2], kafka_partition=kafka_partition)
        else:
            send(stack, topic, values)


def has_share_of(program: RunningProgram, topics: list[str]) -> bool:
    """Tells whether a consumer has been given partitions of each topic."""
    said = [line for line in program.output().splitlines() if '"event": "partitions_opened"' in line]
    return all(any(f'"topic": "{topic}"' in line for line in said) for topic in topics)


def stored_everything(stack: Stack, topics: list[str], rows: int) -> bool:
    return all(sums_of(stack, topic).get("inserted", 0) >= rows for topic in topics)


def test_three_topics_in_two_consumers_keep_every_record_once(stack: Stack, start_rtp: StartRtp) -> None:
    topics = {"own": stack.topic, "json": new_topic(stack, "json"), "avro": new_topic(stack, "avro")}
    mapped = [topics["json"], topics["avro"]]
    write_sections(stack, simple_section(topics["json"]), simple_section(topics["avro"], "sales"))
    with schema_registry() as registry, always_balanced(stack):
        assert registry.add(SALE) == SALE_ID
        env = with_topics(
            stack,
            RTP_CONSUMER_BATCH_ROWS="100",
            RTP_CONSUMER_SESSION_TIMEOUT_S="6",
            RTP_SCHEMA_REGISTRY_URL=registry.url,
        )
        staying = start_rtp("consume", "--no-api", env=env)
        send_round(stack, topics, 0)
        wait_until(lambda: stored_everything(stack, [*topics.values()], NEW), timeout_s=180, what="rows of every topic")
        killed = start_rtp("consume", "--no-api", env=env)
        wait_until(partial(has_share_of, killed, mapped), timeout_s=180, what="the second consumer's share")
        send_round(stack, topics, 1)
        send_round(stack, topics, 2)
        killed.signal(signal.SIGKILL)
        send_round(stack, topics, 3)
        guest = start_rtp("consume", "--no-api", env=env)
        wait_until(partial(has_share_of, guest, mapped), timeout_s=180, what="the guest's share")
        send_round(stack, topics, 4)
        guest.signal(signal.SIGTERM)
        send_round(stack, topics, 5)
        found = verify(stack.endpoints, stack.topic, 240, mapped=mapped)
        assert staying.running()
    assert found.problems == []
    one_round = NEW + REPEATED + 1 + BAD
    counts = (ROUNDS * one_round, ROUNDS * NEW, ROUNDS * REPEATED, ROUNDS * (BAD + 1), 0)
    assert (found.kafka_records, found.inserted, found.duplicates, found.dead_lettered, found.skipped) == counts
    assert found.topics == [TopicCounts(topic, *counts) for topic in mapped]
    for topic in topics.values():
        assert_each_offset_once(stack, topic)
    of_topic = "from transactions join ingest_ledger using (topic_id, kafka_partition) where topic = %s"
    times = query(stack, f"select distinct occurred_at as at {of_topic}", topics["avro"])
    assert [row["at"] for row in times] == [AT_STORED]
    reasons = query(stack, "select topic, reason, count(*) as letters from dead_letters group by 1, 2")
    assert {(row["topic"], row["reason"]): row["letters"] for row in reasons} == {
        (topic, reason): ROUNDS
        for topic, kinds in (
            (topics["own"], ("not_json", "null_value")),
            (topics["json"], ("not_json", "amount_not_a_number")),
            (topics["avro"], ("avro_unreadable", "unknown_schema_id")),
        )
        for reason in (*kinds, "conflicting_duplicate")
    }
