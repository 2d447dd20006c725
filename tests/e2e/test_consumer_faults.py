"""The consumer under `kill -9`, SIGSTOP and lost servers: nothing lost, nothing twice, the ledger always balanced."""

from __future__ import annotations

import signal
import time
from functools import partial

import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from tests.balanced import always_balanced
from tests.conftest import Stack, StartRtp
from tests.programs import RunningProgram
from tests.reading import assert_balanced, end_sessions, ledger_sums, query, rows_by_id, wait_for_ledger
from tests.records import body, produce
from tests.tcp_proxy import TcpProxy
from tests.waiting import wait_until

RECORDS = 3_000


def _fill(stack: Stack, records: int = RECORDS, start: int = 0) -> None:
    for kafka_partition in (0, 1):
        produce(
            stack,
            [body(f"p{kafka_partition}-{start + index}", amount=f"{index}.01") for index in range(records)],
            kafka_partition=kafka_partition,
        )


def _everything_once(stack: Stack, records: int = RECORDS) -> None:
    wait_for_ledger(stack)
    expected = {f"p{kafka_partition}-{index}" for kafka_partition in (0, 1) for index in range(records)}
    assert set(rows_by_id(stack)) == expected
    total = query(stack, "select sum(amount)::text as total from transactions")[0]["total"]
    assert total == f"{sum(range(records)) * 2 + records * 2 * 0.01:.2f}"
    assert ledger_sums(stack) == {"inserted": 2 * records, "duplicates": 0, "dead_lettered": 0, "skipped": 0}


@pytest.mark.parametrize("connection", ["", "@2"])
@pytest.mark.parametrize("place", ["before_copy", "in_copy:40", "after_copy", "before_commit", "after_commit"])
def test_a_killed_consumer_leaves_no_trace(stack: Stack, start_rtp: StartRtp, place: str, connection: str) -> None:
    _fill(stack)
    with always_balanced(stack):
        env = {**stack.env, "RTP_CONSUMER_BATCH_ROWS": "500"}
        name, _, times = place.partition(":")
        failpoint = f"{name}{connection}:{times or 2}"
        killed = start_rtp("consume", "--no-api", env={**env, "RTP_FAILPOINT": failpoint})
        wait_until(lambda: not killed.running(), timeout_s=90, what=f"the consumer, killed {place}")
        assert killed.process.returncode == -signal.SIGKILL
        assert_balanced(stack)
        start_rtp("consume", "--no-api", env=env)
        _everything_once(stack)


@pytest.mark.parametrize("place", ["before_copy", "in_copy:40", "in_copy@2:40", "before_commit@2"])
def test_a_zombie_is_overtaken_and_writes_nothing(stack: Stack, start_rtp: StartRtp, place: str) -> None:
    _fill(stack)
    env = {**stack.env, "RTP_CONSUMER_BATCH_ROWS": "500", "RTP_CONSUMER_SESSION_TIMEOUT_S": "6"}
    with always_balanced(stack):
        zombie = start_rtp("consume", "--no-api", env={**env, "RTP_FAILPOINT": f"{place}=stop"})
        wait_until(zombie.stopped, timeout_s=60, what="the stopped consumer")
        start_rtp("consume", "--no-api", env=env)
        _everything_once(stack)
        zombie.signal(signal.SIGCONT)
        wait_until(
            lambda: "batch_dropped" in zombie.output() or "partitions_lost" in zombie.output(),
            timeout_s=90,
            what="the zombie's rejoin",
        )
        _fill(stack, 100, start=RECORDS)
        _everything_once_of(stack, RECORDS + 100)
        assert zombie.running()


def _everything_once_of(stack: Stack, records: int) -> None:
    wait_for_ledger(stack)
    assert len(rows_by_id(stack)) == 2 * records
    assert ledger_sums(stack)["duplicates"] == 0


def test_sigterm_ends_the_consumer_cleanly_in_the_middle(stack: Stack, start_rtp: StartRtp) -> None:
    _fill(stack)
    env = {**stack.env, "RTP_CONSUMER_BATCH_ROWS": "100"}
    consumer = start_rtp("consume", "--no-api", env=env)
    wait_until(lambda: ledger_sums(stack)["inserted"] > 0, timeout_s=60, what="the first rows")
    started = time.monotonic()
    consumer.signal(signal.SIGTERM)
    wait_until(lambda: not consumer.running(), timeout_s=60, what="the consumer's end")
    assert consumer.process.returncode == 0
    assert time.monotonic() - started < 50
    assert_balanced(stack)
    start_rtp("consume", "--no-api", env=env)
    _everything_once(stack)


def has_said(program: RunningProgram, word: str) -> bool:
    return word in program.output()


def test_consumers_come_and_go_while_records_flow(stack: Stack, start_rtp: StartRtp) -> None:
    env = {**stack.env, "RTP_CONSUMER_BATCH_ROWS": "200"}
    with always_balanced(stack):
        start_rtp("consume", "--no-api", env=env)
        for round_ in range(4):
            _fill(stack, RECORDS // 4, start=round_ * (RECORDS // 4))
            guest = start_rtp("consume", "--no-api", env=env)
            wait_until(partial(has_said, guest, "partitions_assigned"), timeout_s=60, what="the guest's share")
            guest.signal(signal.SIGTERM if round_ % 2 else signal.SIGKILL)
        wait_for_ledger(stack, timeout_s=120)
    assert len(rows_by_id(stack)) == 2 * RECORDS
    assert ledger_sums(stack)["duplicates"] == 0


def test_ended_database_sessions_are_survived(stack: Stack, start_rtp: StartRtp) -> None:
    _fill(stack)
    with always_balanced(stack):
        start_rtp("consume", "--no-api", env={**stack.env, "RTP_CONSUMER_BATCH_ROWS": "200"})
        wait_until(lambda: ledger_sums(stack)["inserted"] > 0, timeout_s=60, what="the first rows")
        for _ in range(10):
            end_sessions(stack)
            time.sleep(0.2)
        _everything_once(stack)


def test_a_commit_without_an_answer_is_settled_from_the_ledger(stack: Stack, start_rtp: StartRtp) -> None:
    _fill(stack)
    dsn = stack.endpoints.need("postgres_ingest_dsn")
    server = parse_dsn(dsn)
    with TcpProxy((server["host"], int(server["port"]))) as proxy, always_balanced(stack):
        env = {
            **stack.env,
            "RTP_POSTGRES_INGEST_DSN": make_dsn(dsn, port=proxy.port),
            "RTP_CONSUMER_BATCH_ROWS": "500",
            "RTP_FAILPOINT": "before_commit:2=stop",
        }
        consumer = start_rtp("consume", "--no-api", env=env)
        wait_until(consumer.stopped, timeout_s=60, what="the consumer, stopped before COMMIT")
        before = ledger_sums(stack)["inserted"]
        proxy.drop_replies()
        consumer.signal(signal.SIGCONT)
        wait_until(lambda: ledger_sums(stack)["inserted"] > before, timeout_s=60, what="the COMMIT on the server")
        proxy.heal()
        _everything_once(stack)
    assert "commit_settled_from_ledger" in consumer.output()
