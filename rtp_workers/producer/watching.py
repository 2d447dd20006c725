"""What can be seen of the service: its status, its recent history for the chart, and its metrics."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rtp_workers.producer.controls import Controls
from rtp_workers.producer.generation import GenerationLoop
from rtp_workers.producer.kafka_link import KafkaLink
from rtp_workers.producer.submissions import Submitter
from rtp_workers.watchdog import Watchdog

SAMPLE_S = 0.5
HISTORY_SAMPLES = 240  # two minutes
RATE_OVER_SAMPLES = 4  # two seconds: steady enough to read, quick enough to show a change


@dataclass(frozen=True, slots=True)
class Parts:
    """What is watched."""

    controls: Controls
    loop: GenerationLoop
    link: KafkaLink
    submitter: Submitter
    topic: str
    watchdog: Watchdog = field(default_factory=Watchdog)


class Watcher:
    """Samples the counters twice a second in its own thread. Everything else is computed when asked for."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._started_s = time.monotonic()
        self._samples: deque[tuple[float, int]] = deque(maxlen=RATE_OVER_SAMPLES + 1)
        self._history: deque[tuple[float, float, float]] = deque(maxlen=HISTORY_SAMPLES)
        self._rate_per_s = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="watcher", daemon=True)

    def start(self) -> None:
        """Starts sampling."""
        self._thread.start()

    def stop(self) -> None:
        """Ends sampling."""
        self._closing.set()
        self._thread.join(5)

    def status(self) -> dict[str, Any]:
        """Returns the service's state; the keys are those of the OpenAPI document's `Status`."""
        parts = self._parts
        return {
            "state": self._state(),
            "kafka_trouble": parts.link.trouble,
            "topic": parts.topic,
            "target_records_per_s": parts.controls.rate_per_s,
            "acknowledged_records_per_s": round(self._rate_per_s, 1),
            "running": parts.controls.running,
            "burst_left": parts.controls.burst,
            "chaos": asdict(parts.controls.chaos),
            "generated": msgspec.structs.asdict(parts.loop.generated),
            "acknowledged": parts.link.acknowledged,
            "acknowledged_from_api": parts.submitter.acknowledged,
            "failed": parts.link.failed,
            "outstanding": parts.link.outstanding,
            "uptime_s": round(time.monotonic() - self._started_s, 1),
        }

    def event(self) -> dict[str, Any]:
        """Returns what the live page shows: the status, and its time (seconds since the epoch)."""
        return {"at_s": round(time.time(), 2), **self.status()}

    def history(self) -> dict[str, list[float]]:
        """Returns the last two minutes as columns of the same length, oldest first."""
        rows = list(self._history)
        return {
            "at_s": [row[0] for row in rows],
            "target_records_per_s": [row[1] for row in rows],
            "acknowledged_records_per_s": [row[2] for row in rows],
        }

    def _state(self) -> str:
        parts = self._parts
        if not parts.loop.alive:
            return "ended"
        if parts.link.trouble is not None:
            return "waiting"
        return "running" if parts.controls.running or parts.controls.burst else "stopped"

    def _sample(self) -> None:
        beat = self._parts.watchdog.beat("sampler")
        while not self._closing.wait(SAMPLE_S):
            beat.turn()
            now_s, acknowledged = time.monotonic(), self._parts.link.acknowledged
            self._samples.append((now_s, acknowledged))
            first_s, first = self._samples[0]
            self._rate_per_s = (acknowledged - first) / (now_s - first_s) if now_s > first_s else 0.0
            controls = self._parts.controls
            target = (controls.rate_per_s or 0.0) if controls.running else 0.0
            self._history.append((round(time.time(), 2), target, round(self._rate_per_s, 1)))
        beat.end()


class ProducerMetrics(Collector):
    """The counters as Prometheus metrics, read when scraped."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def collect(self) -> Iterable[Metric]:
        """Yields each metric with its present value."""
        status = self._watcher.status()
        generated = CounterMetricFamily(
            "rtp_producer_records_generated", "Records handed to Kafka's client, by kind.", labels=["kind"]
        )
        for kind in ("fresh", "duplicate", "late", "corrupt"):
            generated.add_metric([kind], status["generated"][kind])
        yield generated
        acknowledged = CounterMetricFamily(
            "rtp_producer_records_acknowledged", "Records that Kafka has acknowledged, by origin.", labels=["source"]
        )
        from_api = status["acknowledged_from_api"]
        acknowledged.add_metric(["api"], from_api)
        acknowledged.add_metric(["live"], max(0, status["acknowledged"] - from_api))
        yield acknowledged
        yield CounterMetricFamily(
            "rtp_producer_records_failed", "Records that Kafka refused for good.", value=status["failed"]
        )
        yield _gauge("queue_records", "Records handed over and not yet acknowledged.", status["outstanding"])
        yield _gauge("target_records_per_second", "Target rate; 0 while stopped.", self._target(status))
        yield _gauge("running", "1 while the generator runs, 0 while it is stopped.", status["running"])
        yield _gauge("kafka_up", "1 while Kafka answers, 0 while it does not.", status["kafka_trouble"] is None)

    @staticmethod
    def _target(status: dict[str, Any]) -> float:
        return float(status["target_records_per_s"] or 0.0) if status["running"] else 0.0


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"rtp_producer_{name}", help_text, value=float(value))
