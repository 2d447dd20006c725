"""The consumer's counters as Prometheus metrics, read from memory when scraped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from rtp_workers.consumer.state import ConsumerState, Histogram
from rtp_workers.consumer.watching import Watcher, cumulative

OUTCOMES = {"inserted": "inserted", "duplicates": "duplicate", "dead_lettered": "dead_letter", "skipped": "skipped"}


class ConsumerMetrics(Collector):
    """Counters since the start of this process, and its current state."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def collect(self) -> Iterable[Metric]:
        """Yields each metric with its present value."""
        state = self._watcher.state
        yield from _counters(state)
        yield from self._lag(state)
        yield from _mapped(state)
        yield _gauge("paused", "1 while ingestion is paused platform-wide.", state.paused)
        yield _gauge("ready", "1 while nothing keeps records from flowing.", state.ready)
        yield _gauge("files_not_loaded", "CSV files whose last load failed, platform-wide.", state.files_not_loaded)
        yield _gauge("partitions_assigned", "Partitions that this process owns.", len(state.assigned))
        yield _histogram("batch_rows", "Records per committed batch.", state.batch_rows)
        yield _histogram("write_seconds", "COPY to COMMIT, per batch.", state.write_s)
        yield _histogram(
            "end_to_end_latency_seconds",
            "From Kafka's append to the commit in PostgreSQL; one sample a poll, of its oldest record.",
            state.latency_s,
        )

    def _lag(self, state: ConsumerState) -> Iterator[Metric]:
        records = GaugeMetricFamily(
            "rtp_consumer_lag_records", "Records waiting in Kafka, by partition.", labels=["kafka_partition"]
        )
        seconds = GaugeMetricFamily(
            "rtp_consumer_lag_seconds", "Age of the oldest waiting record, by partition.", labels=["kafka_partition"]
        )
        positions = dict(state.positions)
        for number, lag in sorted(state.lag().items()):
            records.add_metric([str(number)], lag)
            seconds.add_metric([str(number)], self._watcher.lag_s(number, positions.get(number, 0)))
        yield records
        yield seconds


def _counters(state: ConsumerState) -> Iterator[Metric]:
    records = CounterMetricFamily(
        "rtp_consumer_records",
        "Offsets accounted for in committed batches since the start of the process, by outcome.",
        labels=["outcome"],
    )
    for name, outcome in OUTCOMES.items():
        records.add_metric([outcome], getattr(state.totals, name))
    yield records
    for name, text, value in (
        ("batches", "Committed batches.", state.batches),
        ("write_retries", "Writes that failed and were retried.", state.retries),
        ("rebalances", "Times that the group has divided the partitions among its members.", state.rebalances),
        ("unknown_fields", "Fields of records that the declaration does not know.", state.unknown_fields),
        ("careful_records", "Records that needed the careful decoder.", state.careful_records),
    ):
        yield CounterMetricFamily(f"rtp_consumer_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"rtp_consumer_{name}", text, value=float(value))


def _histogram(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"rtp_consumer_{name}", text, buckets=cumulative(histogram), sum_value=histogram.total)


def _mapped(state: ConsumerState) -> Iterator[Metric]:
    """Yields what came from topics that are not our own, and what waits there."""
    records = CounterMetricFamily(
        "rtp_consumer_topic_records",
        "Offsets of mapped topics accounted for since the start of the process, by topic and outcome.",
        labels=["topic", "outcome"],
    )
    lag = GaugeMetricFamily(
        "rtp_consumer_topic_lag_records", "Records of mapped topics waiting in Kafka, by topic.", labels=["topic"]
    )
    flows = GaugeMetricFamily(
        "rtp_consumer_topic_ready",
        "1 while records of a wanted topic flow, 0 while something stops them.",
        labels=["topic"],
    )
    for name, mapped in state.mapped.items():
        for field_name, outcome in OUTCOMES.items():
            records.add_metric([name, outcome], getattr(mapped.totals, field_name))
        lag.add_metric([name], sum(mapped.lag().values()))
        flows.add_metric([name], float(not mapped.problems))
    for name in state.unmapped:
        flows.add_metric([name], 0.0)
    yield from (records, lag, flows)
