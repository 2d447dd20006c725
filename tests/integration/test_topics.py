"""The topic on a real broker: made once, its drift told and only mended when asked to."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError, TransientError
from rtp_workers.kafka.topic_watch import NEW_CLIENT_AFTER, TopicWatch
from rtp_workers.kafka.topics import (
    TopicReport,
    admin_client,
    delete_records,
    delete_topic,
    describe,
    ensure_topic,
    log_offsets,
)
from rtp_workers.local.ports import free_port
from tests.conftest import Stack
from tests.programs import run_rtp
from tests.records import produce
from tests.waiting import wait_until


@pytest.fixture
def name(stack: Stack) -> str:
    """A topic that does not exist yet."""
    return f"{stack.topic}-new"


def test_a_topic_is_made_as_it_must_be_and_found_again(stack: Stack, name: str) -> None:
    made = ensure_topic(stack.endpoints, name)
    found = ensure_topic(stack.endpoints, name)
    assert (made.created, found.created, found.drift) == (True, False, [])
    assert (found.partitions, found.replication, found.topic_id) == (6, 1, made.topic_id)
    assert found.configs == {
        "cleanup.policy": "delete",
        "retention.ms": "604800000",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": "1048576",
    }
    delete_topic(stack.endpoints, name)


def test_a_new_topic_answers_at_once(stack: Stack, name: str) -> None:
    for _ in range(3):
        ensure_topic(stack.endpoints, name, partitions=12)
        assert log_offsets(stack.endpoints, name) == dict.fromkeys(range(12), (0, 0))
        delete_topic(stack.endpoints, name)


def test_two_at_once_make_one_topic(stack: Stack, name: str) -> None:
    reports: list[TopicReport] = []
    threads = [threading.Thread(target=lambda: reports.append(ensure_topic(stack.endpoints, name))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(report.created for report in reports) == [False, False, True]
    assert len({report.topic_id for report in reports}) == 1
    delete_topic(stack.endpoints, name)


def test_drift_is_told_and_mended_only_when_asked(stack: Stack, name: str) -> None:
    ensure_topic(stack.endpoints, name, partitions=2, configs={"retention.ms": "60000"})
    drift = ["it has 2 partitions, it should have 6", "retention.ms is 60000, it should be 604800000"]
    assert ensure_topic(stack.endpoints, name).drift == drift
    assert ensure_topic(stack.endpoints, name).drift == drift
    mended = ensure_topic(stack.endpoints, name, alter=True)
    assert (mended.partitions, mended.altered, mended.drift) == (6, drift, [])
    assert ensure_topic(stack.endpoints, name).drift == []
    delete_topic(stack.endpoints, name)


def test_more_partitions_than_asked_for_are_no_drift(stack: Stack, name: str) -> None:
    ensure_topic(stack.endpoints, name, partitions=8)
    assert ensure_topic(stack.endpoints, name, alter=True).partitions == 8
    delete_topic(stack.endpoints, name)


def test_a_topic_made_again_has_another_id_of_22_characters(stack: Stack, name: str) -> None:
    first = ensure_topic(stack.endpoints, name).topic_id
    delete_topic(stack.endpoints, name)
    assert describe(stack.endpoints, name) is None
    second = ensure_topic(stack.endpoints, name).topic_id
    assert first != second
    assert all(len(topic_id) == 22 and set(topic_id).isdisjoint("+/=") for topic_id in (first, second))
    delete_topic(stack.endpoints, name)
    delete_topic(stack.endpoints, name)


def test_offsets_are_the_logs_start_and_end(stack: Stack) -> None:
    produce(stack, [b"x"] * 5, kafka_partition=2)
    assert log_offsets(stack.endpoints, stack.topic)[2] == (0, 5)
    assert delete_records(stack.endpoints, stack.topic, {2: 3}) == {2: 3}
    assert log_offsets(stack.endpoints, stack.topic)[2] == (3, 5)


def test_what_is_wrong_is_told_by_kind(stack: Stack, name: str) -> None:
    with pytest.raises(ConfigError, match="RTP_TOPIC"):
        ensure_topic(stack.endpoints, "no such name!")
    with pytest.raises(ConfigError, match="retention"):
        ensure_topic(stack.endpoints, name, configs={"retention.ms": "long"})
    with pytest.raises(TransientError, match="rtp topics"):
        log_offsets(stack.endpoints, name)
    nowhere = Endpoints(kafka_bootstrap=f"127.0.0.1:{free_port()}")
    with pytest.raises(TransientError, match="is Kafka up"):
        describe(nowhere, name, timeout_s=1)


def test_a_watch_whose_client_does_not_recover_takes_a_new_one(stack: Stack) -> None:
    watch = TopicWatch(stack.endpoints, stack.topic, timeout_s=1.0)
    # A client that never gets an answer, although Kafka would give one, as after a broker that stood still.
    watch._admin = admin_client(replace(stack.endpoints, kafka_bootstrap=f"127.0.0.1:{free_port()}"))
    for _ in range(NEW_CLIENT_AFTER):
        with pytest.raises(TransientError):
            watch.look()
    wait_until(lambda: looks(watch), what="an answer to the new client")


def looks(watch: TopicWatch) -> bool:
    try:
        return watch.look() is not None
    except TransientError:
        return False  # a second is short on a busy machine


def test_copies_are_asked_for_and_their_drift_is_told_but_never_mended(stack: Stack, name: str) -> None:
    with pytest.raises(ConfigError, match="RTP_TOPIC settings"):
        ensure_topic(stack.endpoints, name, replication=3)  # one broker
    assert ensure_topic(stack.endpoints, name, replication=1).drift == []
    drift = ["its partitions have 1 copies, they should have 3"]
    assert ensure_topic(stack.endpoints, name, replication=3, alter=True).drift == drift
    delete_topic(stack.endpoints, name)


def test_partitions_and_copies_in_sync_are_settings(stack: Stack, name: str) -> None:
    env = {**stack.env, "RTP_TOPIC": name, "RTP_TOPIC_PARTITIONS": "3", "RTP_TOPIC_MIN_INSYNC": "1"}
    made = json.loads(run_rtp("topics", "--json", env=env).stdout)
    assert (made["partitions"], made["configs"]["min.insync.replicas"]) == (3, "1")
    delete_topic(stack.endpoints, name)
    refused = run_rtp("topics", env={**env, "RTP_TOPIC_MIN_INSYNC": "2", "RTP_TOPIC_REPLICATION": "1"})
    assert (refused.returncode, "never acknowledge" in refused.stderr) == (2, True)


def test_the_command_exits_1_on_drift(stack: Stack, name: str) -> None:
    env = {**stack.env, "RTP_TOPIC": name}
    first = run_rtp("topics", "--json", env=env)
    assert (first.returncode, json.loads(first.stdout)["created"]) == (0, True)
    delete_topic(stack.endpoints, name)
    ensure_topic(stack.endpoints, name, partitions=1)
    drifted = run_rtp("topics", env=env)
    assert (drifted.returncode, drifted.stderr) == (1, "")
    assert "drift: it has 1 partitions, it should have 6" in drifted.stdout
    assert run_rtp("topics", "--alter", env=env).returncode == 0
    delete_topic(stack.endpoints, name)
