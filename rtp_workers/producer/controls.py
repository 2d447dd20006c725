"""What people have told the generator to do: written by the API's thread, read by the loop's."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from rtp_workers.generator.chaos import Chaos

MAX_BURST = 100_000_000


@dataclass(slots=True)
class Controls:
    """Wishes. Reading one attribute needs no lock; `burst` is changed by both sides and does.

    Attributes:
        running: False sends nothing but bursts.
        rate_per_s: target rate; None as fast as Kafka takes them.
        chaos: ratios of trouble.
        burst: records still to be sent at once, beside the rate.
    """

    running: bool
    rate_per_s: float | None
    chaos: Chaos
    burst: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add_burst(self, records: int) -> int:
        """Asks for `records` more at once; returns how many are to come now, at most MAX_BURST."""
        with self._lock:
            self.burst = min(MAX_BURST, self.burst + records)
            return self.burst

    def take_burst(self, most: int) -> int:
        """Returns how many records of a burst to send now, and no longer waits for them."""
        with self._lock:
            taken = min(self.burst, most)
            self.burst -= taken
            return taken
