"""The consumer's own counters over time, known without asking any server."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from rtp_workers.consumer.log_ends import LogEnds
from rtp_workers.consumer.state import ConsumerState, Histogram

SAMPLE_S = 0.5
HISTORY_SAMPLES = 240  # two minutes
RATE_OVER_SAMPLES = 4  # two seconds: calm enough to read, quick enough to see a change
LATENCY_OVER_SAMPLES = 20  # ten seconds


@dataclass(frozen=True, slots=True)
class Moment:
    """One sample.

    Attributes:
        at_s: Unix seconds.
        records_per_s: records committed to PostgreSQL per second, over the last two seconds.
        lag_records: how many records wait in Kafka for this process; None while its positions are not known.
        lag_s: the age of the oldest of them.
        latency_p50_s, latency_p95_s: from Kafka's append to the commit, over the last ten seconds; None without
            records.
    """

    at_s: float
    records_per_s: float
    lag_records: int | None
    lag_s: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None


NOTHING = Moment(0.0, 0.0, None, None, None, None)


class LagAge:
    """The age of the records that wait in one topic."""

    def __init__(self, state: ConsumerState) -> None:
        self.state = state
        self._ends = LogEnds()
        self._topic_id: str | None = None

    def sample(self, now_s: float) -> None:
        """Notes the ends of the log. Forgets those of a deleted topic."""
        if self.state.topic_id != self._topic_id:
            self._topic_id = self.state.topic_id
            self._ends.clear()
        if self.state.log:
            self._ends.note(now_s, {number: end for number, (_, end) in self.state.log.items()})

    def lag_s(self, kafka_partition: int, position: int) -> float:
        """Returns the age of the oldest record that waits at `position`; 0 if none waits.

        It is accurate to about a second for records that arrived while we looked. For records from before the first
        look it is a lower bound: they are at least as old as the records stored last.
        """
        if self.state.log.get(kafka_partition, (0, 0))[1] <= position:
            return 0.0
        now_s = time.monotonic()
        waiting_s = self._ends.waiting_s(kafka_partition, position, now_s)
        if waiting_s is not None:
            return waiting_s
        stored_at_s = self.state.appended_at_s
        stored_age_s = 0.0 if stored_at_s is None else now_s - stored_at_s
        return max(self._ends.watched_s(now_s), stored_age_s)


class Watcher:
    """Samples the state twice a second, in its own thread.

    Attributes:
        now: the newest sample.
    """

    def __init__(self, state: ConsumerState) -> None:
        self.state = state
        self.now = NOTHING
        self._ages: dict[str, LagAge] = {}
        self._written: deque[tuple[float, float]] = deque(maxlen=RATE_OVER_SAMPLES + 1)
        self._latencies: deque[list[int]] = deque(maxlen=LATENCY_OVER_SAMPLES + 1)
        self._history: deque[Moment] = deque(maxlen=HISTORY_SAMPLES)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Starts sampling."""
        self._thread.start()

    def stop(self) -> None:
        """Ends sampling."""
        self._closing.set()
        self._thread.join(5)

    @property
    def alive(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    def history(self) -> list[Moment]:
        """Returns the last two minutes, oldest first."""
        return list(self._history)

    def lag_s(self, kafka_partition: int, position: int, state: ConsumerState | None = None) -> float:
        """Returns the age of a partition's oldest record that waits at `position`; 0 if none waits.

        Args:
            kafka_partition: the partition of the topic.
            position: the next offset to store.
            state: the state of a mapped topic; None for our own topic.
        """
        return self._age(self.state if state is None else state).lag_s(kafka_partition, position)

    def sample(self) -> None:
        """Takes one sample. This object's own thread calls it regularly."""
        state, now_s = self.state, time.monotonic()
        topics = state.everything()
        self._ages = {name: age for name, age in self._ages.items() if name in topics}
        for topic in topics.values():
            self._age(topic).sample(now_s)
        self._written.append((now_s, state.batch_rows.total))
        self._latencies.append(list(state.latency_s.counts))
        lags = state.lag() if state.positions else None
        p50, p95 = self._latency(0.5), self._latency(0.95)
        self.now = Moment(
            at_s=round(time.time(), 2),
            records_per_s=round(self._rate_per_s(), 1),
            lag_records=None if lags is None else sum(lags.values()),
            lag_s=None if lags is None else self._oldest_s(list(lags)),
            latency_p50_s=p50,
            latency_p95_s=p95,
        )
        self._history.append(self.now)

    def _age(self, state: ConsumerState) -> LagAge:
        name = state.topic or ""
        known = self._ages.get(name)
        if known is None or known.state is not state:
            known = self._ages[name] = LagAge(state)
        return known

    def _run(self) -> None:
        beat = self.state.watchdog.beat("sampler")
        while not self._closing.wait(SAMPLE_S):
            self.sample()
            beat.turn()
        beat.end()

    def _rate_per_s(self) -> float:
        (first_s, first), (last_s, last) = self._written[0], self._written[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0

    def _oldest_s(self, partitions: list[int]) -> float:
        positions = dict(self.state.positions)
        ages = [self.lag_s(number, positions[number]) for number in partitions if number in positions]
        return round(max(ages, default=0.0), 1)

    def _latency(self, share: float) -> float | None:
        first, last = self._latencies[0], self._latencies[-1]
        recent = [late - early for early, late in zip(first, last, strict=True)]
        return quantile(self.state.latency_s.bounds, recent, share)


def quantile(bounds: tuple[float, ...], counts: list[int], share: float) -> float | None:
    """Returns a quantile from bucket counts, linear within its bucket; None without any counts.

    Args:
        bounds: upper bounds. `counts` has one more entry, for values above all of them; these count as the last bound.
        counts: how many values each bucket has; not cumulative.
        share: the quantile, 0 to 1.
    """
    wanted = sum(counts) * share
    if wanted <= 0:
        return None
    seen, lower = 0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and seen + count >= wanted:
            return round(lower + (bound - lower) * (wanted - seen) / count, 4)
        seen, lower = seen + count, bound
    return lower


def cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    """Returns Prometheus' buckets: (upper bound, how many values are at most that large). The last is ``+Inf``."""
    total, buckets = 0, []
    for bound, count in zip((*histogram.bounds, float("inf")), list(histogram.counts), strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), float(total)))
    return buckets
