"""Records near the topic's limit, in a small process; and records that PostgreSQL has no memory for."""

from __future__ import annotations

import os
import resource

from tests.conftest import Stack, StartRtp
from tests.consumer_answers import not_ready_because
from tests.programs import run_rtp
from tests.reading import ledger_sums, query, rows_by_id, wait_for_ledger
from tests.records import body, produce
from tests.waiting import wait_until

WAIT_S = 240.0
LIMIT_BYTES = 300_000_000
BIG = 900_000
REFUSE = """
create function refuse() returns trigger language plpgsql as $$
begin
    if new.transaction_id = 'huge' then raise exception 'out of memory' using errcode = '53200'; end if;
    return new;
end $$;
create trigger refuse before insert on transactions for each row execute function refuse()
"""


def test_records_near_the_limit_land_in_a_small_process(stack: Stack, start_rtp: StartRtp) -> None:
    bad = [b'{"transaction_id":"bad' + b"x" * BIG, body("long", merchant="M" * BIG), os.urandom(BIG)]
    values: list[bytes | None] = []
    for number in range(60):
        values += [bad[number % 3], body(f"good-{number}")]
    produce(stack, values)
    consumer = start_rtp("consume", "--no-api", env=stack.env)
    resource.prlimit(consumer.pid, resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    wait_for_ledger(stack, WAIT_S)
    assert consumer.running()
    assert set(rows_by_id(stack)) == {f"good-{number}" for number in range(60)}
    assert ledger_sums(stack)["dead_lettered"] == 60


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
