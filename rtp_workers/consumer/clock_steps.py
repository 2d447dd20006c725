"""How long ago something happened by the system clock, unless that clock was set in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

# Smaller steps are time synchronisation keeping the clock right. A larger step means that somebody set the clock.
STEP_S = 0.5


@dataclass(slots=True)
class ClockSteps:
    """Notices when this machine's clock is set, by comparing it with the monotonic clock. One thread uses it."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    _ahead_s: float = 0.0
    _set_at_s: float = float("-inf")

    def __post_init__(self) -> None:
        self._ahead_s = self.wall() - self.steady()

    def age_s(self, at_ms: int) -> float | None:
        """Returns how long ago a time was, in seconds.

        None if the time lies well in the future (the clock of Kafka's machine differs), or if our clock was set since.

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
