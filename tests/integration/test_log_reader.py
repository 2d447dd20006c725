"""What the comparison of Kafka's log with the ledger reads, and what it leaves alone."""

from __future__ import annotations

from rtp_workers.kafka.log_reader import LogReader
from tests.conftest import Stack
from tests.records import body, produce


def test_a_partition_is_left_alone_once_its_stretch_is_read(stack: Stack) -> None:
    """Its log may be long. Fetched on, it would come before what is wanted of the others."""
    for number in range(2):
        produce(stack, [body(f"{number}-{index}") for index in range(300)], kafka_partition=number)
    wanted = {0: range(97, 100), 1: range(197, 200)}
    reader = LogReader(stack.endpoints, stack.topic, "some-group")
    try:
        for _ in range(2):
            found = reader.read(wanted, 60)
            assert {number: [mark.offset for mark in stretch.marks] for number, stretch in found.items()} == {
                number: list(offsets) for number, offsets in wanted.items()
            }
            assert reader._consumer.assignment() == []
    finally:
        reader.close()
