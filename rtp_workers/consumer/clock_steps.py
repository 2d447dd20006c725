"""How long ago something was by the clock on the wall, left out where that clock has been set in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

# Less than that is how time servers keep a clock right; more is a clock that somebody, or something, has set.
STEP_S = 0.5


@dataclass(slots=True)
class ClockSteps:
    """Notices when this machine's clock is set, by comparing it with the monotonic one. One thread uses it."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    _ahead_s: float = 0.0
    _set_at_s: float = float("-inf")

    def __post_init__(self) -> None:
        self._ahead_s = self.wall() - self.steady()

    def age_s(self, at_ms: int) -> float | None:
        """Returns how long ago a time was, in seconds.

        None where it lies well ahead (Kafka's machine has another clock), or where our clock has been set since.

        Args:
            at_ms: Unix milliseconds.
        """
        now_s = self.wall()
        ahead_s = now_s - self.steady()
        if abs(ahead_s - self._ahead_s) > STEP_S:
            self._set_at_s = now_s
        self._ahead_s = ahead_s
        age_s = now_s - at_ms / 1000
        return None if age_s < -STEP_S or at_ms / 1000 < self._set_at_s else max(0.0, age_s)
