"""Kafka loses records that PostgreSQL has: noticed in every case, read again from there, listed until confirmed.

A real broker is killed. Then either the end of its log is cut off, as a power failure does, or an older copy of all
its data is put in its place. What comes later must be stored, whoever runs meanwhile and however much comes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from rtp_workers.errors import RtpError
from rtp_workers.kafka.topics import log_offsets
from rtp_workers.local.embedded import EmbeddedServers
from rtp_workers.local.kafka_server import KafkaServer
from rtp_workers.reconcile.verify import verify
from tests.balanced import always_balanced
from tests.conftest import Stack, StartRtp, fresh_folder, make_template, small_servers, stack_on
from tests.faulty_servers import child_of
from tests.foreign_topics import wait_for_topics
from tests.programs import RunningProgram, run_rtp
from tests.reading import ledger_reached_end, query, rows_by_id, wait_for_ledger
from tests.records import body, produce
from tests.three_topics import NEW, ThreeTopics, three_topics
from tests.waiting import wait_until

SEEN_S = 120.0
CUT_BYTES = {"a little": 700, "much": 9_000, "everything": 1 << 30}


@pytest.fixture(scope="module")
def pair(session_folder: Path) -> Iterator[EmbeddedServers]:
    """Servers of this module's own: Kafka is killed and its files are changed."""
    servers = small_servers(fresh_folder(session_folder, "lost-log"))
    servers.start()
    try:
        assert servers.postgres is not None
        make_template(servers.postgres)
        yield servers
    finally:
        servers.stop()


@pytest.fixture
def kafka(pair: EmbeddedServers) -> KafkaServer:
    assert pair.kafka is not None
    return pair.kafka


@pytest.fixture
def stack(pair: EmbeddedServers, home: Path) -> Iterator[Stack]:
    with stack_on(pair, home) as made:
        yield made


def ids(name: str, count: int) -> list[bytes | None]:
    return [body(f"{name}-{number}", merchant="M" * 40) for number in range(count)]


def kill(kafka: KafkaServer) -> None:
    child_of(kafka).process.send_signal(signal.SIGKILL)
    child_of(kafka).process.wait(60)


def start(kafka: KafkaServer, stack: Stack) -> None:
    kafka.prepare()
    kafka.start()
    kafka.wait_ready()
    wait_until(lambda: answers(stack), SEEN_S, "a leader for each partition")


def answers(stack: Stack) -> bool:
    try:
        return bool(log_offsets(stack.endpoints, stack.topic))
    except RtpError:
        return False


def cut(kafka: KafkaServer, topic: str, size_bytes: int) -> None:
    """Takes the end of each partition's log away, as lost page cache does."""
    for folder in kafka.data.glob(f"{topic}-[0-9]*"):
        segment = sorted(folder.glob("*.log"))[-1]
        os.truncate(segment, max(0, segment.stat().st_size - size_bytes))


def consumer_of(stack: Stack, start_rtp: StartRtp) -> RunningProgram:
    return start_rtp("consume", "--no-api", env=stack.env)


def stop(program: RunningProgram) -> None:
    program.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not program.running(), SEEN_S, "the consumer's end")


def at_generation(stack: Stack, generation: int) -> bool:
    return bool(query(stack, "select max(generation) as last from ingest_ledger")[0]["last"] == generation)


def assert_warned_until_confirmed(stack: Stack, lost: int) -> None:
    """Checks that the loss of `lost` records is told by every command, and that it ends when a person confirms it."""
    verified = run_rtp("verify", "--json", "--timeout", "30s", env=stack.env)
    assert verified.returncode == 1
    assert "rtp losses --confirm" in json.loads(verified.stdout)["problems"][0]
    listed = run_rtp("losses", "--json", env=stack.env)
    assert listed.returncode == 1
    assert lost <= sum(loss["offsets"] for loss in json.loads(listed.stdout)) <= 2 * lost + 60
    assert run_rtp("losses", "--confirm", env=stack.env).returncode == 0
    verified = run_rtp("verify", "--json", "--timeout", "30s", env=stack.env)
    assert (verified.returncode, json.loads(verified.stdout)["problems"]) == (0, [])


@pytest.mark.parametrize("size", list(CUT_BYTES))
@pytest.mark.parametrize("running", [True, False], ids=["consumer runs", "consumer stopped"])
def test_a_log_that_lost_its_end_with_the_power_is_read_again(
    stack: Stack, kafka: KafkaServer, start_rtp: StartRtp, size: str, running: bool
) -> None:
    consumer = consumer_of(stack, start_rtp)
    before = ids("a", 120)
    for start_at in range(0, 120, 10):
        produce(stack, before[start_at : start_at + 10])
    wait_for_ledger(stack)
    if not running:
        stop(consumer)
    with always_balanced(stack):
        kill(kafka)
        cut(kafka, stack.topic, CUT_BYTES[size])
        start(kafka, stack)
        lost = 120 - log_offsets(stack.endpoints, stack.topic)[0][1]
        assert lost > 0
        # More than was lost, at once: the end has passed the ledger before anybody can look.
        produce(stack, ids("b", 150))
        if not running:
            consumer_of(stack, start_rtp)
        wait_until(partial(at_generation, stack, 1), SEEN_S, "a new generation")
        wait_for_ledger(stack, SEEN_S)
    assert set(rows_by_id(stack)) == {f"a-{n}" for n in range(120)} | {f"b-{n}" for n in range(150)}
    assert_warned_until_confirmed(stack, lost)


@pytest.mark.parametrize("running", [True, False], ids=["consumer runs", "consumer stopped"])
def test_an_older_copy_of_kafka_is_noticed_twice_in_a_row(
    stack: Stack, kafka: KafkaServer, start_rtp: StartRtp, tmp_path: Path, running: bool
) -> None:
    consumer = consumer_of(stack, start_rtp)
    produce(stack, ids("a", 50))
    wait_for_ledger(stack)
    kill(kafka)
    shutil.copytree(kafka.data, tmp_path / "copy")
    start(kafka, stack)
    expected = {f"a-{n}" for n in range(50)}
    for turn in range(1, 3):
        produce(stack, ids(f"lost-{turn}", 80))
        wait_until(lambda: ledger_reached_end(stack), SEEN_S, "everything stored")
        if not running:
            stop(consumer)
        kill(kafka)
        shutil.rmtree(kafka.data)
        shutil.copytree(tmp_path / "copy", kafka.data)
        start(kafka, stack)
        produce(stack, ids(f"later-{turn}", 200))
        if not running:
            consumer = consumer_of(stack, start_rtp)
        wait_until(partial(at_generation, stack, turn), SEEN_S, "a new generation")
        wait_for_ledger(stack, SEEN_S)
        expected |= {f"lost-{turn}-{n}" for n in range(80)} | {f"later-{turn}-{n}" for n in range(200)}
        assert set(rows_by_id(stack)) == expected
    assert_warned_until_confirmed(stack, 80 + 280)


def test_an_older_copy_of_kafka_is_noticed_in_each_topic_of_a_consumer(
    stack: Stack, kafka: KafkaServer, start_rtp: StartRtp, tmp_path: Path
) -> None:
    with three_topics(stack) as three:
        consumer = start_rtp("consume", "--no-api", env=three.env)
        three.send()
        wait_for_topics(stack, three.topics.values(), SEEN_S)
        kill(kafka)
        shutil.copytree(kafka.data, tmp_path / "copy")
        start(kafka, stack)
        three.send()
        wait_until(partial(three.has_rows, 2 * NEW), SEEN_S, "everything stored")
        kill(kafka)
        shutil.rmtree(kafka.data)
        shutil.copytree(tmp_path / "copy", kafka.data)
        start(kafka, stack)
        three.send()
        three.send()
        wait_until(partial(three.has_rows, 4 * NEW), SEEN_S, "what came later")
        three.assert_values()
        assert_losses_of_each_topic(three)
        assert consumer.running()


def test_each_topic_whose_log_lost_its_end_is_read_again_by_a_running_consumer(
    stack: Stack, kafka: KafkaServer, start_rtp: StartRtp
) -> None:
    with three_topics(stack) as three:
        consumer = start_rtp("consume", "--no-api", env=three.env)
        three.send()
        wait_for_topics(stack, three.topics.values(), SEEN_S)
        kill(kafka)
        for topic in three.topics.values():
            cut(kafka, topic, CUT_BYTES["much"])
        start(kafka, stack)
        # More than was lost, at once: the end of each log has passed the ledger before anybody can look.
        three.send()
        three.send()
        wait_until(partial(three.has_rows, 3 * NEW), SEEN_S, "what came later")
        three.assert_values()
        assert_losses_of_each_topic(three)
        assert consumer.running()


def assert_losses_of_each_topic(three: ThreeTopics) -> None:
    lost = query(three.stack, "select distinct topic from log_losses")
    assert {row["topic"] for row in lost} == set(three.topics.values())
    assert run_rtp("losses", "--confirm", env=three.stack.env).returncode == 0
    assert verify(three.stack.endpoints, three.stack.topic, 60, mapped=three.mapped).problems == []
