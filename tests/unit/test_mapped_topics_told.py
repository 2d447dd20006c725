"""What the consumer tells of topics that are not our own: problems by topic, and metrics with the label topic."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from rtp_workers.consumer.api_status import not_ready
from rtp_workers.consumer.metrics import ConsumerMetrics
from rtp_workers.consumer.state import ConsumerState
from rtp_workers.consumer.watching import Watcher


def state_with_topics() -> ConsumerState:
    paying = ConsumerState(topic="payments", settled_at=1.0)
    paying.totals.inserted = 7
    waiting = ConsumerState(topic="cards", problems={"schema_registry": "it does not answer"})
    return ConsumerState(
        settled_at=1.0,
        mapped={"payments": paying, "cards": waiting},
        unmapped={"clicks": "not consumed: no section is for it; `rtp map --topic clicks` writes one"},
    )


def test_a_topic_s_trouble_is_told_under_its_name() -> None:
    reason = not_ready(state_with_topics())
    assert reason is not None
    assert "topic cards, schema_registry: it does not answer" in reason
    assert "topic clicks: not consumed" in reason


def test_metrics_have_a_label_for_the_topic() -> None:
    registry = CollectorRegistry()
    registry.register(ConsumerMetrics(Watcher(state_with_topics())))
    inserted = {"topic": "payments", "outcome": "inserted"}
    assert registry.get_sample_value("rtp_consumer_topic_records_total", inserted) == 7
    ready = {
        name: registry.get_sample_value("rtp_consumer_topic_ready", {"topic": name})
        for name in ("payments", "cards", "clicks")
    }
    assert ready == {"payments": 1, "cards": 0, "clicks": 0}
