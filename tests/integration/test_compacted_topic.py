"""A compacted topic loses records by contract: nothing is consumed from it until it is mended or allowed."""

from __future__ import annotations

from rtp_workers.kafka.topics import ensure_topic
from tests.conftest import Stack, StartRtp
from tests.reading import rows_by_id, wait_for_ledger
from tests.records import body, produce
from tests.waiting import wait_until


def compact(stack: Stack) -> None:
    report = ensure_topic(stack.endpoints, stack.topic, configs={"cleanup.policy": "compact,delete"}, alter=True)
    assert "compact" in report.configs["cleanup.policy"]


def test_a_compacted_topic_is_refused_and_consumed_once_it_is_mended(stack: Stack, start_rtp: StartRtp) -> None:
    produce(stack, [body(f"a{number}") for number in range(5)])
    compact(stack)
    consumer = start_rtp("consume", "--no-api", env=stack.env)
    wait_until(lambda: "is compacted" in consumer.output(), timeout_s=90, what="the refusal")
    assert consumer.running()
    assert rows_by_id(stack) == {}
    ensure_topic(stack.endpoints, stack.topic, alter=True)
    wait_for_ledger(stack, timeout_s=90)
    assert len(rows_by_id(stack)) == 5


def test_a_person_may_allow_a_compacted_topic(stack: Stack, start_rtp: StartRtp) -> None:
    produce(stack, [body(f"a{number}") for number in range(5)])
    compact(stack)
    start_rtp("consume", "--no-api", env={**stack.env, "RTP_CONSUMER_ALLOW_COMPACTED": "true"})
    wait_for_ledger(stack, timeout_s=90)
    assert len(rows_by_id(stack)) == 5
