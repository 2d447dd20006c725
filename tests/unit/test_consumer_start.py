"""What the consumer says before Kafka has answered for the first time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from structlog.testing import capture_logs

from rtp_workers.consumer import loop
from rtp_workers.consumer.control import ControlThread, View
from rtp_workers.consumer.loop import ConsumerLoop
from rtp_workers.consumer.state import ConsumerState
from rtp_workers.endpoints import Endpoints
from rtp_workers.settings import ConsumerSettings, load


def turn(consumer: ConsumerLoop, view: View) -> None:
    """Lets the loop look once at what the control thread has seen."""
    control = SimpleNamespace(view=view, raise_failure=lambda: None, give_up_silent_session=lambda: None)
    assert consumer._await_topic(cast(ControlThread, control)) is None


def test_a_start_without_trouble_is_no_problem_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    state = ConsumerState()
    consumer = ConsumerLoop(load(ConsumerSettings), Endpoints(kafka_bootstrap="kafka:9092"), state)
    with capture_logs() as logged:
        turn(consumer, View())
        assert "kafka:9092 has not answered yet" in state.problems["kafka"], "but nobody may think that it is ready"
        turn(consumer, View(seen=True))
        assert logged == []
        turn(consumer, View())
        monkeypatch.setattr(loop, "STARTING_S", 0.0)
        turn(consumer, View())
        turn(consumer, View())
    assert [(line["event"], line["where"]) for line in logged] == [("problem", "kafka")]


def test_what_kafka_s_client_says_is_logged_at_once() -> None:
    consumer = ConsumerLoop(load(ConsumerSettings), Endpoints(kafka_bootstrap="kafka:9092"), ConsumerState())
    with capture_logs() as logged:
        turn(consumer, View(problems={"kafka": "not allowed"}))
    assert [line["reason"] for line in logged] == ["not allowed"]
