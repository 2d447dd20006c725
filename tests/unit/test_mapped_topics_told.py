"""What the consumer tells of topics that are not our own: problems by topic, and metrics with the label topic."""

from __future__ import annotations

from typing import cast

from prometheus_client import CollectorRegistry

from rtp_workers.consumer.api_status import Known, Reads, StatusView, not_ready
from rtp_workers.consumer.metrics import ConsumerMetrics
from rtp_workers.consumer.state import ConsumerState
from rtp_workers.consumer.watching import Watcher
from rtp_workers.postgres.account import Account, LedgerRow
from rtp_workers.settings import ConsumerSettings, load


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


PLATFORM_WIDE = {"rtp_consumer_paused", "rtp_consumer_files_not_loaded"}


def metrics_of(state: ConsumerState) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(ConsumerMetrics(Watcher(state), "transactions"))
    return registry


def test_every_metric_of_a_topic_has_its_name_and_covers_all_topics() -> None:
    state = state_with_topics()
    for topic in state.everything().values():
        topic.positions, topic.log, topic.assigned = {0: 1}, {0: (0, 3)}, {0}
    families = [family for family in metrics_of(state).collect() if family.name not in PLATFORM_WIDE]
    assert {family.name for family in families} >= {"rtp_consumer_careful_records", "rtp_consumer_lag_seconds"}
    for family in families:
        topics = {sample.labels.get("topic") for sample in family.samples}
        assert topics - {"clicks"} == {"transactions", "payments", "cards"}, family.name


def test_metrics_tell_the_topics_apart() -> None:
    state = state_with_topics()
    state.mapped["payments"].careful_records = 3
    state.totals.inserted = 2
    registry = metrics_of(state)
    inserted = {"topic": "payments", "outcome": "inserted"}
    assert registry.get_sample_value("rtp_consumer_records_total", inserted) == 7
    assert registry.get_sample_value("rtp_consumer_records_total", {**inserted, "topic": "transactions"}) == 2
    careful = {
        name: registry.get_sample_value("rtp_consumer_careful_records_total", {"topic": name})
        for name in ("transactions", "payments", "cards")
    }
    assert careful == {"transactions": 0, "payments": 3, "cards": 0}
    ready = {
        name: registry.get_sample_value("rtp_consumer_ready", {"topic": name})
        for name in ("transactions", "payments", "cards", "clicks")
    }
    assert ready == {"transactions": 1, "payments": 1, "cards": 0, "clicks": 0}


def test_the_lag_of_a_mapped_topic_covers_partitions_that_another_process_owns() -> None:
    mapped = ConsumerState(topic="payments", topic_id="p", positions={0: 5}, log={0: (0, 7), 1: (0, 100)}, assigned={0})
    state = ConsumerState(mapped={"payments": mapped})
    ledger = [
        LedgerRow("p", number, "payments", "g", 0, offset, offset, 0, 0, 0) for number, offset in ((0, 5), (1, 60))
    ]
    view = StatusView(load(ConsumerSettings), Watcher(state), cast(Reads, None))
    (topic,) = view.build(Known(Account(ledger), None, None))["topics"]
    assert (topic["lag_records"], topic["inserted"], topic["partitions"]) == (2 + 40, 65, 1)
    (unknown,) = view.build(Known(None, "PostgreSQL is away", None))["topics"]
    assert unknown["lag_records"] is None
