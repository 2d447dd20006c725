"""Finds the lag in seconds. Kafka gives the lag only in records; the log's end over time turns it into seconds."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping

# Two samples a second for ten minutes, then one a minute for a day: about 2,600 in all.
FINE_SAMPLES = 1_200
COARSE_EVERY_S = 60.0
COARSE_SAMPLES = 1_440

Ends = Mapping[int, int]


class LogEnds:
    """Remembers at which time each partition's log ended where. Thread-safe."""

    def __init__(self) -> None:
        self._fine: deque[tuple[float, Ends]] = deque(maxlen=FINE_SAMPLES)
        self._coarse: deque[tuple[float, Ends]] = deque(maxlen=COARSE_SAMPLES)
        self._lock = threading.Lock()

    def note(self, at_s: float, ends: Ends) -> None:
        """Adds a sample: the end by kafka_partition at `at_s` (monotonic seconds, never going back)."""
        with self._lock:
            self._fine.append((at_s, ends))
            if not self._coarse or at_s - self._coarse[-1][0] >= COARSE_EVERY_S:
                self._coarse.append((at_s, ends))

    def clear(self) -> None:
        """Forgets everything, because the topic is another one."""
        with self._lock:
            self._fine.clear()
            self._coarse.clear()

    def waiting_s(self, kafka_partition: int, position: int, now_s: float) -> float | None:
        """Returns for how long a record at `position` has been waiting; 0 if no record was seen there.

        None means that it was there before the first sample.
        """

        def end(sample: tuple[float, Ends]) -> int:
            return sample[1].get(kafka_partition, 0)

        with self._lock:
            fine, coarse = list(self._fine), list(self._coarse)
        if not fine or end(fine[-1]) <= position:
            return 0.0
        if end(coarse[0]) > position:
            return None
        samples = fine if end(fine[0]) <= position else coarse
        return max(0.0, now_s - samples[bisect_right(samples, position, key=end)][0])

    def watched_s(self, now_s: float) -> float:
        """Returns for how long samples have been taken (at most a day)."""
        with self._lock:
            return now_s - self._coarse[0][0] if self._coarse else 0.0
