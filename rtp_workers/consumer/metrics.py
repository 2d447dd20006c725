"""The consumer's counters as Prometheus metrics, read from memory when scraped.

Metrics of a topic carry its name in the label ``topic``, for our own topic and for mapped ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from rtp_workers.consumer.state import ConsumerState
from rtp_workers.consumer.watching import Watcher, cumulative

OUTCOMES = {"inserted": "inserted", "duplicates": "duplicate", "dead_lettered": "dead_letter", "skipped": "skipped"}
COUNTERS = {
    "batches": "Committed batches, by topic.",
    "write_retries": "Writes that failed and were retried, by topic.",
    "rebalances": "Times that the group has divided the partitions of a topic among its members.",
    "unknown_fields": "Fields of records that the declaration does not know; a mapped topic keeps them as attributes.",
    "careful_records": "Records that needed the careful decoder, by topic.",
}

Topics = Mapping[str, ConsumerState]  # by name, including our own topic


class ConsumerMetrics(Collector):
    """Counters since the start of this process, and its current state.

    Args:
        watcher: of the process's state, which knows the mapped topics.
        topic: the name of our own topic.
    """

    def __init__(self, watcher: Watcher, topic: str) -> None:
        self._watcher = watcher
        self._topic = topic

    def collect(self) -> Iterable[Metric]:
        """Yields each metric with its current value."""
        state = self._watcher.state
        topics = {self._topic: state, **state.mapped}
        yield from _counters(topics)
        yield from self._lag(topics)
        yield from _histograms(topics)
        yield _assigned(topics)
        yield _ready(topics, state.unmapped)
        yield _gauge("paused", "1 while ingestion is paused platform-wide.", state.paused)
        yield _gauge("files_not_loaded", "CSV files whose last load failed, platform-wide.", state.files_not_loaded)

    def _lag(self, topics: Topics) -> Iterator[Metric]:
        labels = ["topic", "kafka_partition"]
        records = GaugeMetricFamily(
            "rtp_consumer_lag_records", "Records waiting in Kafka, by partition.", labels=labels
        )
        seconds = GaugeMetricFamily(
            "rtp_consumer_lag_seconds", "Age of the oldest waiting record, by partition.", labels=labels
        )
        for topic, state in topics.items():
            positions = dict(state.positions)
            for number, lag in sorted(state.lag().items()):
                records.add_metric([topic, str(number)], lag)
                seconds.add_metric([topic, str(number)], self._watcher.lag_s(number, positions.get(number, 0), state))
        yield records
        yield seconds


def _counters(topics: Topics) -> Iterator[Metric]:
    records = CounterMetricFamily(
        "rtp_consumer_records",
        "Offsets accounted for in committed batches since the start of the process, by topic and outcome.",
        labels=["topic", "outcome"],
    )
    for topic, state in topics.items():
        for name, outcome in OUTCOMES.items():
            records.add_metric([topic, outcome], getattr(state.totals, name))
    yield records
    for name, text in COUNTERS.items():
        family = CounterMetricFamily(f"rtp_consumer_{name}", text, labels=["topic"])
        for topic, state in topics.items():
            family.add_metric([topic], getattr(state, "retries" if name == "write_retries" else name))
        yield family


def _histograms(topics: Topics) -> Iterator[Metric]:
    for name, attribute, text in (
        ("batch_rows", "batch_rows", "Records per committed batch, by topic."),
        ("write_seconds", "write_s", "COPY to COMMIT, per batch, by topic."),
        (
            "end_to_end_latency_seconds",
            "latency_s",
            "From Kafka's append to the commit in PostgreSQL, by topic; one sample a poll, of its oldest record.",
        ),
    ):
        family = HistogramMetricFamily(f"rtp_consumer_{name}", text, labels=["topic"])
        for topic, state in topics.items():
            histogram = getattr(state, attribute)
            family.add_metric([topic], cumulative(histogram), histogram.total)
        yield family


def _assigned(topics: Topics) -> Metric:
    family = GaugeMetricFamily(
        "rtp_consumer_partitions_assigned", "Partitions that this process owns, by topic.", labels=["topic"]
    )
    for topic, state in topics.items():
        family.add_metric([topic], len(state.assigned))
    return family


def _ready(topics: Topics, unmapped: Iterable[str]) -> Metric:
    family = GaugeMetricFamily(
        "rtp_consumer_ready",
        "1 while records of a topic flow, 0 while something keeps them from it; also 0 for a topic without a section.",
        labels=["topic"],
    )
    for topic, state in topics.items():
        family.add_metric([topic], float(state.ready))
    for topic in unmapped:
        family.add_metric([topic], 0.0)
    return family


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"rtp_consumer_{name}", text, value=float(value))
