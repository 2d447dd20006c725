"""PostgreSQL goes back to an earlier state while the consumer is idle: although nothing new comes, it reads again."""

from __future__ import annotations

import pytest

from tests.balanced import always_balanced
from tests.conftest import Stack, StartRtp
from tests.reading import rows_by_id, wait_for_ledger
from tests.records import body, produce
from tests.restored_ledger import keep_a_copy, restore
from tests.waiting import wait_until

SEEN_S = 60.0


def send(stack: Stack, name: str) -> set[str]:
    """Sends 20 records and one that is refused to each of two partitions; returns the ids that become rows."""
    ids = [f"{name}-{number}" for number in range(40)]
    for kafka_partition, share in enumerate((ids[:20], ids[20:])):
        produce(stack, [*map(body, share), b"not JSON"], kafka_partition=kafka_partition)
    return set(ids)


@pytest.mark.parametrize("kept", ["some of it", "nothing"])
def test_a_ledger_that_goes_back_under_an_idle_consumer_is_read_again(
    stack: Stack, start_rtp: StartRtp, kept: str
) -> None:
    if kept == "nothing":
        keep_a_copy(stack)
    consumer = start_rtp("consume", "--no-api", env=stack.env)
    sent = send(stack, "first")
    wait_for_ledger(stack, SEEN_S)
    if kept == "some of it":
        keep_a_copy(stack)
    sent |= send(stack, "second")
    wait_for_ledger(stack, SEEN_S)
    with always_balanced(stack):
        restore(stack)
        wait_until(lambda: "wound_back" in consumer.output(), SEEN_S, "the consumer to notice")
        wait_for_ledger(stack, SEEN_S)
    assert set(rows_by_id(stack)) == sent
    assert "the ledger went back" in consumer.output()
    assert "another consumer" not in consumer.output()
    assert consumer.running()
    sent |= send(stack, "third")
    wait_for_ledger(stack, SEEN_S)
    assert set(rows_by_id(stack)) == sent
