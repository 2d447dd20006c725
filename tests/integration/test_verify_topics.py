"""`rtp verify` and `rtp status` with topics of others: each is waited for and reconciled by itself."""

from __future__ import annotations

import json
from typing import Any

from rtp_workers.kafka.topics import delete_topic
from rtp_workers.postgres.connection import connect
from rtp_workers.reconcile.consumed_topics import consumed_topics
from rtp_workers.reconcile.verify import TopicCounts, verify
from rtp_workers.settings import PlatformSettings, load
from tests.conftest import Stack
from tests.foreign_topics import new_topic, send, simple_section, with_topics, write_sections
from tests.programs import run_rtp
from tests.records import body as own_body
from tests.records import produce
from tests.topic_records import body
from tests.waiting import wait_until


def consume(stack: Stack) -> None:
    done = run_rtp("consume", "--no-api", "--until-idle", "4s", env=with_topics(stack), timeout_s=300)
    assert done.returncode == 0, done.stderr


def test_mapped_topics_are_waited_for_and_reconciled(stack: Stack) -> None:
    topic, unmapped = new_topic(stack, "payments"), new_topic(stack, "later")
    write_sections(stack, simple_section(topic))
    send(stack, topic, [body(id="p1"), body(id="p2"), body(id="p1"), b"not json"])
    send(stack, unmapped, [body(id="x1")])
    produce(stack, [own_body("t1")])
    settings = load(
        PlatformSettings,
        kafka_bootstrap=stack.endpoints.need("kafka_bootstrap"),
        topic=stack.topic,
        topics=f"{stack.topic}.*",
        data_dir=stack.env["RTP_DATA_DIR"],
    )
    assert consumed_topics(stack.endpoints, settings) == [topic]
    behind = verify(stack.endpoints, stack.topic, 0, mapped=[topic])
    assert not behind.ok
    assert sum(problem.startswith(f"topic {topic}: partition") for problem in behind.problems) == 2, behind.problems

    consume(stack)
    done = run_rtp("verify", "--json", "--timeout", "30s", env=with_topics(stack))
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"], found["rows"], found["inserted"]) == (0, True, 3, 1), found
    assert found["topics"] == [
        {"topic": topic, "kafka_records": 4, "inserted": 2, "duplicates": 1, "dead_lettered": 1, "skipped": 0}
    ]
    shown = run_rtp("verify", env=with_topics(stack))
    assert "Mapped topics" in shown.stdout
    assert "everything agrees" in shown.stdout + shown.stderr


def test_the_status_tells_the_lag_of_each_topic_although_no_consumer_runs(stack: Stack) -> None:
    topic, unmapped = new_topic(stack, "payments"), new_topic(stack, "later")
    write_sections(stack, simple_section(topic))
    send(stack, topic, [body(id="p1"), body(id="p2"), b"not json"])
    consume(stack)
    send(stack, topic, [body(id=f"later-{number}") for number in range(5)])

    def told() -> dict[str, Any] | None:
        shown = run_rtp("status", "--json", env=with_topics(stack))
        found: dict[str, Any] = json.loads(shown.stdout)
        return found if found["topics"] is not None else None  # a busy machine may take longer than status waits

    found = wait_until(told, timeout_s=120, what="the figures of the topic")
    assert found is not None
    (figures,) = found["topics"]
    assert (figures["topic"], figures["lag_records"], figures["inserted"], figures["dead_lettered"]) == (topic, 5, 2, 1)
    assert (figures["state"], figures["problems"]) == (None, {})
    assert found["topics_not_consumed"].keys() == {unmapped}
    assert f"rtp map --topic {unmapped}" in found["topics_not_consumed"][unmapped]


def test_damage_in_a_mapped_topic_names_it(stack: Stack) -> None:
    topic = new_topic(stack, "payments")
    write_sections(stack, simple_section(topic))
    send(stack, topic, [body(id="p1"), body(id="p2")])
    consume(stack)
    owner = connect(stack.endpoints.need("postgres_dsn"), "test", autocommit=True)
    with owner.cursor() as cursor:
        cursor.execute(
            "update ingest_ledger set next_offset = next_offset + 5, skipped = skipped + 5 "
            "where topic = %s and kafka_partition = 1",
            (topic,),
        )
    owner.close()
    found = verify(stack.endpoints, stack.topic, 0, mapped=[topic])
    assert any(each.startswith(f"topic {topic}: partition 1: the ledger is at 6, beyond") for each in found.problems)


def test_a_mapped_topic_that_is_deleted_is_history(stack: Stack) -> None:
    topic = new_topic(stack, "payments")
    write_sections(stack, simple_section(topic))
    send(stack, topic, [body(id="p1")])
    consume(stack)
    assert verify(stack.endpoints, stack.topic, 0, mapped=[topic]).topics == [TopicCounts(topic, 1, 1, 0, 0, 0)]
    delete_topic(stack.endpoints, topic)
    found = verify(stack.endpoints, stack.topic, 0, mapped=[topic])
    assert (found.ok, found.topics, found.rows) == (True, [], 1), found.problems
