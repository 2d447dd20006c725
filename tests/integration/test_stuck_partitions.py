"""Partitions that stand still: each says why, health is 503, and a person can step over what cannot be read."""

from __future__ import annotations

import os
import signal
import time

from rtp_workers.kafka.topics import ensure_topic
from tests.conftest import Stack, StartRtp
from tests.consumer_answers import ask, not_ready_because
from tests.log_faults import SMALL_CLIENT, leave_transaction_open, produce_bomb, stranger_in_group
from tests.programs import run_rtp, status_with
from tests.reading import ledger_sums, query, rows_by_id, wait_for_ledger
from tests.records import body, produce
from tests.waiting import wait_until

WAIT_S = 120.0
STOPPED_S = 35.0  # longer than a partition may stand still


def test_a_batch_that_cannot_be_unpacked_is_named_and_can_be_stepped_over(stack: Stack, start_rtp: StartRtp) -> None:
    produce(stack, [body("before")], kafka_partition=3)
    produce_bomb(stack, 3)
    produce(stack, [body("after")], kafka_partition=3)
    produce(stack, [body("neighbour")], kafka_partition=1)
    env = {**stack.env, "RTP_KAFKA_CLIENT_CONFIG": SMALL_CLIENT}
    consumer = start_rtp("consume", env=env)
    wait_until(lambda: not_ready_because(stack, "partition 3: it is stuck at offset 1"), WAIT_S, "503 with the offset")
    wait_until(lambda: set(rows_by_id(stack)) == {"before", "neighbour"}, WAIT_S, "what can be read")
    status = ask(stack, "/status")[1]
    assert status["state"] == "stuck"
    assert "rtp skip" in status["partitions"][3]["problem"]
    wait_until(lambda: retried(stack, 3), WAIT_S, "a second attempt")
    assert consumer.output().count('"where": "partition 3"') == 1, "logged once, however often it is tried"
    skip = ("skip", "--partition", "3", "--topic", stack.topic)
    wrong = run_rtp(*skip, "--offset", "0", env=env)
    assert wrong.returncode == 1
    assert "is at offset 1, not at 0" in wrong.stderr
    done = run_rtp(*skip, "--offset", "1", "--reason", "a broken exporter", env=env)
    assert done.returncode == 0, done.stderr
    assert "3 offsets (1 to 3) counted as skipped" in done.stdout
    wait_for_ledger(stack, WAIT_S)
    assert set(rows_by_id(stack)) == {"before", "neighbour", "after"}
    assert ledger_sums(stack) == {"inserted": 3, "duplicates": 0, "dead_lettered": 0, "skipped": 3}
    assert query(stack, "select from_offset, to_offset, reason from log_holes") == [
        {"from_offset": 1, "to_offset": 4, "reason": "a broken exporter"}
    ]
    wait_until(lambda: ask(stack, "/health/ready")[0] == 200, WAIT_S, "readiness again")


def retried(stack: Stack, kafka_partition: int) -> bool:
    """Tells whether the consumer has tried a stuck partition again since the first question."""
    return f"partition {kafka_partition}" in ask(stack, "/status")[1].get("problems", {})


def test_a_readable_offset_is_stepped_over_only_when_told_how_far(stack: Stack, start_rtp: StartRtp) -> None:
    produce(stack, [body("one"), body("two")])
    run_rtp("consume", "--no-api", "--until-idle", "1s", env=stack.env)
    produce(stack, [body("three"), body("four")])
    skip = ("skip", "--partition", "0", "--offset", "2", "--topic", stack.topic)
    refused = run_rtp(*skip, env=stack.env)
    assert refused.returncode == 1
    assert "--to 3" in refused.stderr
    too_far = run_rtp(*skip, "--to", "9", env=stack.env)
    assert too_far.returncode == 1
    assert "--to must be from 3 to 4" in too_far.stderr
    assert run_rtp(*skip, "--to", "3", env=stack.env).returncode == 0
    start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack, WAIT_S)
    assert set(rows_by_id(stack)) == {"one", "two", "four"}


def test_an_open_transaction_that_holds_a_partition_is_told(stack: Stack, start_rtp: StartRtp) -> None:
    produce(stack, [body("before")], kafka_partition=2)
    start_rtp("consume", env=stack.env)
    wait_for_ledger(stack, WAIT_S)
    leave_transaction_open(stack, 2)
    produce(stack, [body("behind")], kafka_partition=2)
    words = "an open transaction since offset 1 holds it (last stable offset 1, end 3)"
    wait_until(lambda: words in str(ask(stack, "/health/ready")[1].get("detail")), WAIT_S, "the cause")
    wait_until(lambda: not_ready_because(stack, f"partition 2: {words}"), WAIT_S, "503 with the cause")
    verified = run_rtp("verify", "--json", "--timeout", "1s", env=stack.env)
    assert f"partition 2: 2 records up to offset 3 are not in the ledger; {words}" in verified.stdout
    status_with(lambda found: words in str(found["consumer"]["detail"]), stack.env)


def test_another_program_in_our_group_is_told(stack: Stack, start_rtp: StartRtp) -> None:
    start_rtp("consume", env=stack.env)
    wait_until(lambda: ask(stack, "/health/ready")[0] == 200, WAIT_S, "readiness")
    with stranger_in_group(stack):
        wait_until(lambda: not_ready_because(stack, "belong to some-other-app (127.0.0.1), not to us"), WAIT_S, "503")
    wait_until(lambda: ask(stack, "/health/ready")[0] == 200, WAIT_S, "readiness, once it has gone")


def test_added_partitions_are_read_within_seconds(stack: Stack, start_rtp: StartRtp) -> None:
    start_rtp("consume", env=stack.env)
    wait_until(lambda: ask(stack, "/health/ready")[0] == 200, WAIT_S, "readiness")
    ensure_topic(stack.endpoints, stack.topic, partitions=9, alter=True)
    produce(stack, [body("added")], kafka_partition=8)
    # The client's own default is five minutes.
    wait_until(lambda: set(rows_by_id(stack)) == {"added"}, 100.0, "a record of the added partition")


def test_a_process_that_was_stopped_has_not_been_standing_still(stack: Stack, start_rtp: StartRtp) -> None:
    produce(stack, [body("one")])
    consumer = start_rtp("consume", env=stack.env)
    wait_for_ledger(stack, WAIT_S)
    os.kill(consumer.pid, signal.SIGSTOP)
    produce(stack, [body("two")])
    try:
        time.sleep(STOPPED_S)
    finally:
        os.kill(consumer.pid, signal.SIGCONT)
    wait_for_ledger(stack, WAIT_S)
    assert consumer.running()
    assert "nothing has been stored" not in consumer.output()
