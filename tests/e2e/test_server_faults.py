"""Kafka and PostgreSQL killed, frozen, slowed, cut off and filled up under load: the consumer outlives it all.

Whatever Kafka has acknowledged is stored, each record once; no snapshot is ever unbalanced; nobody restarts anything
but the server that was killed.
"""

from __future__ import annotations

import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtp_workers.kafka.record_producer import RECORD_OVERHEAD_BYTES, RecordProducer, record_headers
from rtp_workers.kafka.topics import PARTITIONS, delete_records, log_offsets
from tests.balanced import always_balanced
from tests.conftest import Stack, StartRtp, fresh_folder, stack_on
from tests.faulty_servers import FaultyServers, faulty_servers
from tests.feed import fed
from tests.program_logs import assigned, seconds_between, shared
from tests.programs import run_rtp
from tests.reading import assert_balanced, ledger_sums, query, rows_by_id, wait_for_ledger
from tests.records import body, produce
from tests.server_faults import (
    KAFKA_AWAY,
    ONLY_ROOT_MOUNTS,
    SEEN_S,
    SLOW,
    Scene,
    deadlock_over,
    kafka_frozen,
    kafka_half_open,
    kafka_slow,
    postgres_cut,
    postgres_disk_full,
    postgres_full,
    postgres_slow,
    restarted,
)
from tests.waiting import wait_until

START_S = 90.0
RECORDS = 2_000
CRAWL_BYTES_PER_S = 4_000.0  # a minute for all of them


@pytest.fixture(scope="module")
def faulty(session_folder: Path) -> Iterator[FaultyServers]:
    """One pair for every test here."""
    with faulty_servers(fresh_folder(session_folder, "faulty")) as found:
        yield found


@pytest.fixture
def stack(faulty: FaultyServers, home: Path) -> Iterator[Stack]:
    """A database and a topic on the faulty pair."""
    with stack_on(faulty.pair, home) as made:
        yield made
        faulty.mend()


FAULTS: dict[str, Callable[[Scene], None]] = {
    "kafka killed": restarted(lambda servers: servers.kafka, signal.SIGKILL, KAFKA_AWAY),
    "kafka frozen": kafka_frozen,
    "kafka half-open": kafka_half_open,
    "kafka slow": kafka_slow,
    "postgres stopped immediately": restarted(lambda servers: servers.postgres, signal.SIGQUIT, "write_failed"),
    "postgres killed": restarted(lambda servers: servers.postgres, signal.SIGKILL, "write_failed"),
    "postgres slow": postgres_slow,
    "postgres cut off": postgres_cut,
    "postgres full of connections": postgres_full,
    "postgres disk full": postgres_disk_full,
}
CASES = [pytest.param(name, marks=[ONLY_ROOT_MOUNTS] if "disk" in name else []) for name in FAULTS]


@pytest.mark.parametrize("name", CASES)
def test_what_kafka_acknowledged_is_stored_once(
    faulty: FaultyServers, stack: Stack, start_rtp: StartRtp, name: str
) -> None:
    env = {**faulty.proxied(stack), "RTP_CONSUMER_BATCH_ROWS": "500"}
    with always_balanced(stack), fed(stack) as feed:
        consumer = start_rtp("consume", "--no-api", env=env)
        wait_until(lambda: ledger_sums(stack)["inserted"] > 0, START_S, "the first rows")
        FAULTS[name](Scene(faulty, stack, consumer))
        feed.assert_stored_once()
    assert consumer.running()
    assert "Traceback" not in consumer.output()


def test_a_stop_while_postgres_is_away_is_quick_and_loses_nothing(
    faulty: FaultyServers, stack: Stack, start_rtp: StartRtp
) -> None:
    """Every batch is full then, one of them half-way into the writer's hands."""
    produce(stack, [body(f"t-{number}") for number in range(2_000)])
    env = {**faulty.proxied(stack), "RTP_CONSUMER_BATCH_ROWS": "100"}
    faulty.postgres_proxy.slow(**SLOW)
    consumer = start_rtp("consume", "--no-api", env=env)
    wait_until(lambda: ledger_sums(stack)["inserted"] > 0, START_S, "the first rows")
    faulty.postgres_proxy.refuse()
    faulty.postgres_proxy.cut()
    wait_until(lambda: "write_failed" in consumer.output(), SEEN_S, "a failed write")
    consumer.signal(signal.SIGTERM)
    assert consumer.wait(120) == 0
    assert seconds_between(consumer, "partitions_revoked", "consumer_stopped") < 8
    faulty.postgres_proxy.heal()
    assert_balanced(stack)
    start_rtp("consume", "--no-api", env=env)
    wait_for_ledger(stack)
    assert len(rows_by_id(stack)) == 2_000


def test_a_stop_while_kafka_is_frozen_ends_within_the_grace_period(
    faulty: FaultyServers, stack: Stack, start_rtp: StartRtp
) -> None:
    with fed(stack) as feed:
        consumer = start_rtp("consume", "--no-api", env=stack.env)
        wait_until(lambda: ledger_sums(stack)["inserted"] > 0, START_S, "the first rows")
        faulty.signal(faulty.kafka, signal.SIGSTOP)
        try:
            consumer.signal(signal.SIGTERM)
            assert consumer.wait(45) == 0
        finally:
            faulty.signal(faulty.kafka, signal.SIGCONT)
        start_rtp("consume", "--no-api", env=stack.env)
        feed.assert_stored_once()


def test_a_database_session_that_never_answers_is_given_up(
    faulty: FaultyServers, stack: Stack, start_rtp: StartRtp
) -> None:
    """The server process behind the control thread is frozen: its socket stays open, none of its timeouts fires."""
    consumer = start_rtp("consume", "--no-api", env=stack.env)
    wait_until(lambda: "partitions_opened" in consumer.output(), START_S, "the consumer's start")
    sessions = "select pid from pg_stat_activity where application_name = %s and datname = current_database()"
    backend = query(stack, sessions, "rtp-consumer-control")[0]["pid"]
    os.kill(backend, signal.SIGSTOP)
    try:
        assert run_rtp("pause", "--reason", "test", env=stack.env).returncode == 0
        wait_until(lambda: '"event": "paused"' in consumer.output(), SEEN_S, "the pause, seen over another session")
    finally:
        os.kill(backend, signal.SIGCONT)


def test_holes_are_the_trouble_of_whoever_has_the_partition(
    faulty: FaultyServers, stack: Stack, start_rtp: StartRtp
) -> None:
    for number in range(PARTITIONS):
        produce(stack, [body(f"t-{number}-{index}") for index in range(3)], kafka_partition=number)
    run_rtp("consume", "--no-api", "--until-idle", "1s", env=stack.env)
    for number in range(PARTITIONS):
        produce(stack, [body(f"u-{number}-{index}") for index in range(3)], kafka_partition=number)
    delete_records(stack.endpoints, stack.topic, dict.fromkeys(range(PARTITIONS), 5))
    start_rtp("consume", env=stack.env)
    wait_until(lambda: holes_told(stack) == PARTITIONS, START_S, "a hole in each partition")
    start_rtp("consume", "--no-api", env=stack.env)
    wait_until(lambda: holes_told(stack) == PARTITIONS // 2, START_S, "half of them handed over")
    assert run_rtp("resume", "--accept-holes", env=stack.env).returncode == 0
    wait_for_ledger(stack)
    assert ledger_sums(stack)["skipped"] == 2 * PARTITIONS


def test_a_deadlock_with_another_writer_is_retried(faulty: FaultyServers, stack: Stack, start_rtp: StartRtp) -> None:
    """Two writers, the same ids, opposite order: PostgreSQL ends the consumer's transaction, not the other."""
    last = 499
    produce(stack, [body(f"t-{number}") for number in range(last + 1)])
    with deadlock_over(faulty, stack, f"t-{last}", f"t-{last - 1}"):
        consumer = start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack)
    assert "deadlock" in consumer.output()
    assert len(rows_by_id(stack)) == last + 1
    assert ledger_sums(stack)["inserted"] == last + 1


def test_a_share_taken_away_while_postgres_crawls_is_stored_once(
    faulty: FaultyServers, stack: Stack, start_rtp: StartRtp
) -> None:
    """The consumer waits for its batch, inside the rebalance, for longer than the poll interval."""
    env = {**faulty.proxied(stack), "RTP_CONSUMER_MAX_POLL_INTERVAL_S": "10", "RTP_CONSUMER_SESSION_TIMEOUT_S": "6"}
    crawling, other = (start_rtp("consume", "--no-api", env=each) for each in (env, {**env, **stack.env}))
    wait_until(lambda: shared(crawling, other, PARTITIONS), START_S, "a share for each")
    other.signal(signal.SIGSTOP)
    wait_until(lambda: len(assigned(crawling)) == PARTITIONS, START_S, "everything in one hand")
    faulty.postgres_proxy.slow(0.01, CRAWL_BYTES_PER_S)
    produce(stack, [body(f"t-{number}") for number in range(RECORDS)])
    wait_until(lambda: "a batch has been on its way" in crawling.output(), SEEN_S, "a write that crawls")
    other.signal(signal.SIGCONT)
    with always_balanced(stack):
        wait_until(lambda: shared(crawling, other, PARTITIONS), SEEN_S, "a share for each again")
        faulty.postgres_proxy.heal()
        wait_for_ledger(stack, 120)
    assert len(rows_by_id(stack)) == RECORDS
    assert ledger_sums(stack)["duplicates"] == 0
    assert crawling.running()


def test_a_platform_killed_whole_converges_in_any_order_of_starting(
    faulty: FaultyServers, stack: Stack, start_rtp: StartRtp
) -> None:
    with always_balanced(stack), fed(stack) as feed:
        killed = start_rtp("consume", "--no-api", env=stack.env)
        wait_until(lambda: ledger_sums(stack)["inserted"] > 0, START_S, "the first rows")
        for server in (faulty.postgres, faulty.kafka):
            faulty.signal(server, signal.SIGKILL)
        killed.kill()
        consumer = start_rtp("consume", "--no-api", env=stack.env)
        wait_until(lambda: KAFKA_AWAY in consumer.output(), START_S, "the consumer, alone")
        faulty.start_again(faulty.postgres)
        faulty.start_again(faulty.kafka)
        feed.assert_stored_once()


def test_a_full_send_queue_holds_the_sender_back_and_drops_nothing(faulty: FaultyServers, stack: Stack) -> None:
    queue_bytes = 4_000_000
    producer = RecordProducer(stack.endpoints, stack.topic, "rtp-test", queue_bytes=queue_bytes)
    headers = record_headers("live")
    values = [body(f"q-{number}") for number in range(20_000)]
    producer.send_many(values[:1], [None], headers)
    producer.flush(60)
    held_back_s: list[float] = []

    def send() -> None:
        producer.send_many(values[1:], [None] * (len(values) - 1), headers, while_waiting=held_back_s.append)
        producer.flush(120)

    sender = threading.Thread(target=send)
    faulty.signal(faulty.kafka, signal.SIGSTOP)
    try:
        sender.start()
        wait_until(lambda: held_back_s and held_back_s[-1] > 2, SEEN_S, "the sender, held back")
        assert producer.outstanding <= queue_bytes // RECORD_OVERHEAD_BYTES
        waiting = producer.outstanding
    finally:
        faulty.signal(faulty.kafka, signal.SIGCONT)
    sender.join(120)
    assert waiting < len(values)
    assert producer.acknowledged == len(values)
    assert sum(end for _, end in log_offsets(stack.endpoints, stack.topic).values()) == len(values)
    producer.close()


def holes_told(stack: Stack) -> int:
    """Returns how many holes the consumer's readiness complains of."""
    try:
        with urllib.request.urlopen(f"{stack.endpoints.need('consumer_url')}/health/ready", timeout=10):
            return 0
    except urllib.error.HTTPError as error:
        return error.read().decode().count("deleted by retention")
    except OSError:
        return 0
