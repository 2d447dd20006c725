"""Records near the topic's limit, in a small process; and records that PostgreSQL has no memory for."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from tests.conftest import Stack, StartRtp
from tests.consumer_answers import ask, not_ready_because
from tests.programs import RunningProgram, run_rtp
from tests.reading import ledger_sums, query, rows_by_id, wait_for_ledger
from tests.records import body, produce
from tests.waiting import wait_until

WAIT_S = 240.0
MORE_BYTES = 200_000_000  # than an idle consumer has
PEAK_KB = 300_000
BIG = 900_000
REFUSE = """
create function refuse() returns trigger language plpgsql as $$
begin
    if new.transaction_id = 'huge' then raise exception 'out of memory' using errcode = '53200'; end if;
    return new;
end $$;
create trigger refuse before insert on transactions for each row execute function refuse()
"""


def memory_kb(consumer: RunningProgram, name: str) -> int:
    """Returns a figure of /proc/PID/status: ``VmHWM`` is the peak of what was in memory, ``VmData`` what is limited."""
    lines = Path(f"/proc/{consumer.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def idle_consumer(stack: Stack, start_rtp: StartRtp) -> RunningProgram:
    """Starts a consumer and waits until it has stored a record of each partition: every thread runs by then."""
    for number in range(6):
        produce(stack, [body(f"first-{number}")], kafka_partition=number)
    consumer = start_rtp("consume", "--no-api", env=stack.env)
    wait_for_ledger(stack, WAIT_S)
    return consumer


def test_records_near_the_limit_land_in_a_small_process(stack: Stack, start_rtp: StartRtp) -> None:
    bad = [b'{"transaction_id":"bad' + b"x" * BIG, body("long", merchant="M" * BIG), os.urandom(BIG)]
    values: list[bytes | None] = []
    for number in range(60):
        values += [bad[number % 3], body(f"good-{number}")]
    consumer = idle_consumer(stack, start_rtp)
    # The limit counts what each thread has reserved, which depends on the machine: so it starts from what there is.
    limit = memory_kb(consumer, "VmData") * 1024 + MORE_BYTES
    resource.prlimit(consumer.pid, resource.RLIMIT_DATA, (limit, limit))
    for number in range(6):
        produce(stack, values[number::6], kafka_partition=number)
    wait_for_ledger(stack, WAIT_S)
    assert consumer.running()
    assert memory_kb(consumer, "VmHWM") < PEAK_KB
    first = {f"first-{number}" for number in range(6)}
    assert set(rows_by_id(stack)) == first | {f"good-{number}" for number in range(60)}
    assert ledger_sums(stack)["dead_lettered"] == 60


def test_a_process_without_memory_reads_in_smaller_batches_and_names_the_record(
    stack: Stack, start_rtp: StartRtp
) -> None:
    produce(stack, [body("a"), body("b"), body("c")])
    env = {**stack.env, "RTP_CONSUMER_BATCH_ROWS": "4", "RTP_FAILPOINT": "add:6=memory"}
    consumer = start_rtp("consume", env=env)
    words = "partition 0: it is stuck at offset 0: this process has no memory left"
    wait_until(lambda: not_ready_because(stack, words), WAIT_S, "the record's place")
    wait_for_ledger(stack, WAIT_S)
    assert set(rows_by_id(stack)) == {"a", "b", "c"}
    assert "batches_shrunk" in consumer.output()
    assert "at most 1 rows" in ask(stack, "/status")[1]["warnings"]["memory"]
    wait_until(lambda: ask(stack, "/health/ready")[0] == 200, WAIT_S, "readiness again")


def test_a_turn_that_runs_out_of_memory_ends_its_session_and_not_the_process(stack: Stack, start_rtp: StartRtp) -> None:
    produce(stack, [body("a"), body("b")])
    consumer = start_rtp("consume", "--no-api", env={**stack.env, "RTP_FAILPOINT": "serve:2=memory"})
    wait_for_ledger(stack, WAIT_S)
    assert set(rows_by_id(stack)) == {"a", "b"}
    assert '"cause": "memory_short"' in consumer.output()


def test_one_record_that_memory_refuses_stops_its_partition_only(stack: Stack, start_rtp: StartRtp) -> None:
    query(stack, REFUSE)
    produce(stack, [body("a"), body("huge"), body("b")])
    produce(stack, [body("c")], kafka_partition=1)
    start_rtp("consume", env=stack.env)
    wait_until(lambda: set(rows_by_id(stack)) == {"a", "c"}, WAIT_S, "its neighbours")
    words = "--partition 0 --offset 1 --to 2"
    wait_until(lambda: not_ready_because(stack, words), WAIT_S, "the way on")
    produce(stack, [body("d")], kafka_partition=1)
    wait_until(lambda: "d" in rows_by_id(stack), WAIT_S, "another partition that flows")
    skip = ("skip", "--topic", stack.topic, *words.split())
    assert run_rtp(*skip, env=stack.env).returncode == 0
    wait_for_ledger(stack, WAIT_S)
    assert set(rows_by_id(stack)) == {"a", "b", "c", "d"}
    assert ledger_sums(stack) == {"inserted": 4, "duplicates": 0, "dead_lettered": 0, "skipped": 1}
