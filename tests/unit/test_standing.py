"""Partitions that stand still: how long, what is tried again when, and what is said about it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError

from rtp_workers.consumer.client_errors import PASSED_AFTER_S, ClientErrors
from rtp_workers.consumer.standing import Progress, StuckPartitions, TurnClock, stands
from rtp_workers.errors import AttentionError, TransientError
from rtp_workers.kafka.client import translate
from rtp_workers.kafka.record_consumer import is_unreadable


def clock_of(*readings: float) -> TurnClock:
    given: Iterator[float] = iter(readings)
    return TurnClock(read=lambda: next(given))


def test_time_in_which_the_process_was_stopped_does_not_count() -> None:
    clock = clock_of(100.0, 100.5, 190.0, 190.2)
    assert [round(clock.turn(), 3) for _ in range(4)] == [0.0, 0.5, 1.5, 1.7]


def test_a_partition_stands_from_when_records_wait_until_it_moves() -> None:
    progress = Progress()
    assert progress.standing_s({0: 5}, {0: 5}, 0.0) == {}
    assert progress.standing_s({0: 5}, {0: 9}, 1.0) == {0: 0.0}
    assert progress.standing_s({0: 5}, {0: 12}, 31.0) == {0: 30.0}
    assert progress.standing_s({0: 6}, {0: 12}, 32.0) == {0: 0.0}
    assert progress.standing_s({0: 12}, {0: 12}, 33.0) == {}


def test_a_partition_without_an_offset_stands_too() -> None:
    progress = Progress()
    progress.standing_s({3: None}, {3: 7}, 0.0)
    assert progress.standing_s({3: None}, {3: 7}, 40.0) == {3: 40.0}
    assert progress.standing_s({}, {3: 7}, 50.0) == {}, "it is no longer ours"
    assert "not known" in stands(None, 7, 40.0)


def test_a_stuck_partition_is_tried_again_at_rest_and_less_and_less_often() -> None:
    stuck = StuckPartitions("transactions")
    waits = []
    for _ in range(6):
        stuck.note(3, 10, "cannot be read", 100.0)
        assert stuck.due(100.0, lambda _: True) == []
        assert stuck.due(1_000.0, lambda _: False) == [], "its batch is still being written"
        waits.append(next(wait for wait in range(100) if stuck.due(100.0 + wait, lambda _: True)))
    assert waits[0] <= 1
    assert waits[-1] > 4
    assert stuck.due(10_000.0, lambda _: True) == [], "each attempt once"


def test_a_stuck_partition_says_how_to_step_over_its_place_until_it_is_past_it() -> None:
    stuck = StuckPartitions("orders")
    stuck.note(3, 10, "cannot be read", 0.0)
    said = stuck.problems()["partition 3"]
    assert "it is stuck at offset 10" in said
    assert "rtp skip --topic orders --partition 3 --offset 10" in said
    stuck.moved({3: 10})
    assert 3 in stuck
    stuck.moved({3: 14})
    assert stuck.problems() == {}
    stuck.note(4, 1, "cannot be read", 0.0)
    stuck.given_up([4])
    assert 4 not in stuck


def test_what_only_a_person_can_end_is_a_problem_until_the_client_no_longer_repeats_it() -> None:
    errors = ClientErrors("transactions")
    errors.note([TransientError("a broker is away")], 0.0)
    assert errors.problems(0.0) == {}
    errors.note([AttentionError("not allowed")], 1.0)
    assert errors.problems(2.0) == {"kafka": "not allowed"}
    assert errors.problems(2.0 + PASSED_AFTER_S) == {}
    errors.note([AttentionError("not allowed")], 100.0)
    errors.clear()
    assert errors.problems(100.0) == {}


@pytest.mark.parametrize(
    ("code", "partition", "unreadable"),
    [
        (KafkaError._BAD_COMPRESSION, 3, True),
        (KafkaError._BAD_MSG, 0, True),
        (KafkaError._NOT_IMPLEMENTED, 0, True),
        (KafkaError._BAD_COMPRESSION, -1, False),
        (KafkaError._BAD_COMPRESSION, None, False),
        (KafkaError._TRANSPORT, 3, False),
        (KafkaError.NOT_LEADER_FOR_PARTITION, 3, False),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, 3, False),
        (KafkaError.OFFSET_OUT_OF_RANGE, 3, False),
    ],
)
def test_an_error_is_about_the_data_only_where_trying_again_cannot_help(
    code: int, partition: int | None, unreadable: bool
) -> None:
    assert is_unreadable(KafkaError(code), partition) is unreadable


def test_a_missing_acl_is_named_by_operation_and_resource() -> None:
    error = translate(
        KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), "consume orders", lacking="Read on topic orders"
    )
    assert isinstance(error, AttentionError)
    assert "no ACL for Read on topic orders" in str(error)
    assert "--operation Read --topic orders" in str(error)
