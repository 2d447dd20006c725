"""What may happen to the log of a mapped topic: holes, transactions, new partitions, a table that changes."""

from __future__ import annotations

from dataclasses import replace

from rtp_workers.kafka.topics import delete_records, ensure_topic
from rtp_workers.reconcile.verify import verify
from tests.conftest import Stack, StartRtp
from tests.foreign_topics import new_topic, send, simple_section, sums_of, wait_for_topics, with_topics, write_sections
from tests.programs import run_rtp
from tests.reading import dead_letters, query, rows_by_id
from tests.records import body as own_body
from tests.records import produce, produce_in_transactions
from tests.topic_records import body
from tests.waiting import wait_until

SEEN_S = 120.0


def bodies(mark: str, records: int) -> list[bytes]:
    return [body(id=f"{mark}{number}") for number in range(records)]


def test_holes_transactions_and_new_partitions_of_a_mapped_topic_are_accounted_for(
    stack: Stack, start_rtp: StartRtp
) -> None:
    topic = new_topic(stack, "pay")
    theirs, env = replace(stack, topic=topic), with_topics(stack)
    write_sections(stack, simple_section(topic))
    send(stack, topic, bodies("first", 10))
    start_rtp("consume", "--no-api", "--until-idle", "4s", env=env).wait(SEEN_S)
    produce(theirs, bodies("late", 10), kafka_partition=1)
    delete_records(stack.endpoints, topic, {1: 12})
    produce_in_transactions(theirs, [(bodies("kept", 3), True), (bodies("aborted", 2), False)])
    consumer = start_rtp("consume", "--no-api", env=env)
    wait_until(lambda: query(stack, "select * from log_holes"), SEEN_S, "the hole, noted")
    produce(stack, [own_body("own")])
    wait_until(lambda: {"own", "kept2"} <= rows_by_id(stack).keys(), SEEN_S, "rows of what has no hole")
    assert not any(name.startswith("late") for name in rows_by_id(stack))
    resumed = run_rtp("resume", "--accept-holes", env=env)
    assert "7 offsets counted as skipped" in resumed.stdout
    wait_for_topics(stack, [topic])
    ensure_topic(stack.endpoints, topic, partitions=3, alter=True)
    produce(theirs, bodies("added", 1), kafka_partition=2)
    query(stack, "alter table transactions rename column country to land")
    produce(theirs, bodies("waits", 1))
    wait_until(lambda: "write_failed" in consumer.output(), SEEN_S, "the missing column, told")
    query(stack, "alter table transactions rename column land to country")
    wait_for_topics(stack, [topic, stack.topic])
    assert set(rows_by_id(stack)) == {
        "own", "added0", "waits0", *(f"first{n}" for n in range(10)), *(f"kept{n}" for n in range(3)),
        *(f"late{n}" for n in (7, 8, 9)),
    }  # fmt: skip
    # The hole, two aborted records, and a marker at the end of each transaction.
    assert sums_of(stack, topic) == {"inserted": 18, "duplicates": 0, "dead_lettered": 0, "skipped": 7 + 2 + 2}
    assert dead_letters(stack) == []
    assert verify(stack.endpoints, stack.topic, 60, mapped=[topic]).problems == []
