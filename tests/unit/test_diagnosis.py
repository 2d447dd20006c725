"""The diagnosis asks Kafka about the group only when Kafka has just answered: librdkafka may abort otherwise."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping

import pytest

from rtp_workers.consumer import diagnosis
from rtp_workers.consumer.diagnosis import DiagnosisThread
from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import TransientError
from rtp_workers.kafka import causes
from rtp_workers.kafka.causes import CauseFinder, Others
from tests.waiting import wait_until


class Finder:
    """Stands in for the questions to Kafka."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def others(self, _ledger_id: str) -> Others:
        self.asked.set()
        return Others(ledgers="another database")

    def standing(self, _positions: Mapping[int, int]) -> dict[int, str]:
        return {}


def test_nothing_is_asked_about_the_group_until_kafka_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    finder = Finder()
    monkeypatch.setattr(diagnosis, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(diagnosis, "CauseFinder", lambda *_: finder)
    thread = DiagnosisThread(Endpoints(kafka_bootstrap="127.0.0.1:1"), "t", "g")

    thread.shared = True

    def answers() -> bool:
        thread.kafka_answered.set()
        return thread.others.ledgers is not None

    try:
        assert not finder.asked.wait(0.3)
        wait_until(answers, what="a look at the group")
    finally:
        thread.stop()


def test_a_consumer_that_has_every_partition_asks_nothing_about_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    finder = Finder()
    monkeypatch.setattr(diagnosis, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(diagnosis, "CauseFinder", lambda *_: finder)
    thread = DiagnosisThread(Endpoints(kafka_bootstrap="127.0.0.1:1"), "t", "g")

    def asked() -> bool:
        thread.kafka_answered.set()
        return finder.asked.is_set()

    try:
        for _ in range(20):
            thread.kafka_answered.set()
            assert not finder.asked.wait(0.02)
        thread.shared = True
        wait_until(asked, what="a look at a shared group")
    finally:
        thread.stop()


def test_a_client_that_gets_no_answer_is_replaced_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its future then raises Python's own TimeoutError, which nobody expects."""
    monkeypatch.setattr(causes, "GROUP_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        finder = CauseFinder(Endpoints(kafka_bootstrap=f"127.0.0.1:{silent.getsockname()[1]}"), "t", "g", timeout_s=0.1)
        before = finder._admin
        with pytest.raises(TransientError):
            finder.standing({0: 0})
        with pytest.raises(TransientError):
            finder.others("some-id")
        assert finder._admin is not before
