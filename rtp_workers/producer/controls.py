"""What people want the generator to do: written by the API's thread, read by the loop's."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from rtp_workers.generator.chaos import Chaos

MAX_BURST = 100_000_000


@dataclass(slots=True)
class Controls:
    """The wishes. Reading an attribute needs no lock, except `burst`, which both sides change.

    Attributes:
        running: False sends only bursts.
        rate_per_s: target rate; None: as fast as Kafka takes the records.
        chaos: shares of duplicate, late and corrupt records.
        burst: records still to be sent at once, in addition to the rate.
    """

    running: bool
    rate_per_s: float | None
    chaos: Chaos
    burst: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add_burst(self, records: int) -> int:
        """Asks for `records` more at once. Returns how many are now to come, at most MAX_BURST."""
        with self._lock:
            self.burst = min(MAX_BURST, self.burst + records)
            return self.burst

    def take_burst(self, most: int) -> int:
        """Returns how many records of a burst to send now, and no longer waits for them."""
        with self._lock:
            taken = min(self.burst, most)
            self.burst -= taken
            return taken
