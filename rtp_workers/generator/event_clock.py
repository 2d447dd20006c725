"""Event time: now, spread over the batch, or a faster past that follows the rhythm of the week."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from rtp_workers.errors import ConfigError
from rtp_workers.generator.draws import BLOCK, MONDAY_H, Floats, Ints
from rtp_workers.generator.markets import HOURS_PER_WEEK

# At speed 1 the generated world makes this many transactions per second of its own time, averaged over a week.
WORLD_RECORDS_PER_S = 50.0
HOUR_US = 3_600_000_000
WEEK_US = HOURS_PER_WEEK * HOUR_US
MONDAY_US = MONDAY_H * HOUR_US
END_US = 4_102_444_800_000_000  # 2100-01-01, a year before the last time a record may have
MAX_SPREAD_US = 1_000_000


def micros(instant: datetime) -> int:
    """Returns microseconds since the epoch, exactly."""
    return int(
        np.datetime64(instant.replace(tzinfo=None) - (instant.utcoffset() or instant - instant), "us").astype(np.int64)
    )


class WarpedClock:
    """Times of blocks from a given start: a Poisson stream whose rate follows the week."""

    def __init__(self, start: datetime, speed: float, intensity: Floats, rng: np.random.Generator) -> None:
        """
        Args:
            start: when the stream begins, aware.
            speed: event seconds per second of the world's own time.
            intensity: 168 relative rates by UTC hour of the week from Monday midnight, mean 1.
            rng: where the gaps come from.
        """
        self._rng = rng
        self._mean_gap_us = speed * 1e6 / WORLD_RECORDS_PER_S
        self._hours_us = np.arange(HOURS_PER_WEEK + 1) * float(HOUR_US)
        self._work_us = np.concatenate(([0.0], np.cumsum(intensity))) * HOUR_US
        weeks, into_week = divmod(micros(start) - MONDAY_US, WEEK_US)
        self._week_us = MONDAY_US + weeks * WEEK_US
        # "Work" is time in which each hour counts as much as it is busy. Measured in it, gaps are alike all week.
        self._work = float(np.interp(into_week, self._hours_us, self._work_us))

    def block(self) -> Ints:
        """Returns the next BLOCK times, microseconds since the epoch, ascending.

        Raises:
            ConfigError: event time has reached 2100.
        """
        work = self._work + np.cumsum(self._rng.standard_exponential(BLOCK)) * self._mean_gap_us
        weeks, rest = np.divmod(work, float(WEEK_US))
        times = self._week_us + weeks.astype(np.int64) * WEEK_US
        times += np.interp(rest, self._work_us, self._hours_us).astype(np.int64)
        if times[-1] >= END_US:
            raise ConfigError("event time has reached the year 2100; start earlier or choose a smaller speed")
        self._week_us += int(weeks[-1]) * WEEK_US
        self._work = float(rest[-1])
        return times


class PresentClock:
    """Times of batches that happen now, spread evenly since the previous batch, at most a second back."""

    def __init__(self) -> None:
        self._last_us = 0

    def batch(self, records: int, now_us: int) -> Ints:
        """Returns `records` ascending times up to `now_us`, later than all before even if the clock was set back."""
        first = max(self._last_us, now_us - MAX_SPREAD_US)
        self._last_us = max(now_us, first + records)
        span = self._last_us - first
        return first + span * np.arange(1, records + 1, dtype=np.int64) // records
