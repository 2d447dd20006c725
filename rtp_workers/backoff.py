"""Waits between attempts: exponential, with jitter, bounded."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Grows from `first_s` to `longest_s`; each wait is drawn from the upper half, so many do not retry at once."""

    first_s: float = 0.05
    longest_s: float = 5.0
    tries: int = 0

    def next_s(self, at_least_s: float | None = None) -> float:
        """Returns the seconds to wait before the next attempt.

        Args:
            at_least_s: what the other side asked for (``retry_after_s``), if anything.
        """
        ceiling = min(self.longest_s, self.first_s * 2.0 ** min(self.tries, 30))
        self.tries += 1
        return max(ceiling * random.uniform(0.5, 1.0), at_least_s or 0.0)

    def reset(self) -> None:
        """Starts over after a success."""
        self.tries = 0
