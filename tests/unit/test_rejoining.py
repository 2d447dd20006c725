"""A client that lost its partitions has a limited time to come back, counted only while Kafka answers."""

from __future__ import annotations

from rtp_workers.consumer.rejoining import Rejoining


def test_a_client_that_lost_nothing_is_never_overdue() -> None:
    assert not Rejoining(30.0).is_overdue(1_000.0, kafka_answers=True)


def test_a_client_that_does_not_come_back_is_overdue_after_its_patience() -> None:
    rejoining = Rejoining(30.0)
    rejoining.lost(100.0)
    assert not rejoining.is_overdue(130.0, kafka_answers=True)
    assert rejoining.is_overdue(130.1, kafka_answers=True)


def test_a_client_that_is_in_the_group_again_is_not() -> None:
    rejoining = Rejoining(30.0)
    rejoining.lost(100.0)
    rejoining.assigned()
    assert not rejoining.is_overdue(200.0, kafka_answers=True)


def test_time_without_kafka_is_not_counted() -> None:
    rejoining = Rejoining(30.0)
    rejoining.lost(100.0)
    assert not rejoining.is_overdue(200.0, kafka_answers=False)
    assert not rejoining.is_overdue(230.0, kafka_answers=True)
    assert rejoining.is_overdue(230.1, kafka_answers=True)
