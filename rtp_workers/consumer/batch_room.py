"""How large a batch may be. After this process ran out of memory, it is less than the settings allow for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rtp_workers.settings import ConsumerSettings

SHRINKS_BY = 4
# After this time without another shortage, batches may grow again by the same factor.
GROWS_AFTER_S = 300.0


@dataclass(slots=True)
class BatchRoom:
    """The limits of a batch. A process has one, which outlives its sessions; one thread uses it.

    Attributes:
        most_rows, most_bytes: what the settings allow.
        divisor: 1 while there is enough memory.
    """

    most_rows: int
    most_bytes: int
    read: Callable[[], float] = time.monotonic
    divisor: int = 1
    _since_s: float = 0.0

    @classmethod
    def of(cls, settings: ConsumerSettings) -> BatchRoom:
        """Returns the room that the settings allow."""
        return cls(settings.consumer_batch_rows, settings.consumer_batch_bytes)

    @property
    def rows(self) -> int:
        """How many rows a batch may have, at least 1."""
        return max(1, self.most_rows // self.divisor)

    @property
    def bytes(self) -> int:
        """How many bytes of record values a batch may have. A single record may have more."""
        return max(1, self.most_bytes // self.divisor)

    def shrink(self) -> bool:
        """Makes batches smaller. Returns False if they are single records already."""
        self._since_s = self.read()
        if self.rows == 1:
            return False
        self.divisor *= SHRINKS_BY
        return True

    def grow_when_due(self) -> None:
        """Makes batches larger again if memory has sufficed for `GROWS_AFTER_S`."""
        if self.divisor > 1 and self.read() - self._since_s > GROWS_AFTER_S:
            self._since_s = self.read()
            self.divisor //= SHRINKS_BY

    def warning(self) -> str | None:
        """Returns a sentence that says that batches are smaller than the settings allow; None if they are not."""
        if self.divisor == 1:
            return None
        return (
            f"this process ran out of memory, so it writes batches of at most {self.rows:,} rows for now (the setting "
            f"is {self.most_rows:,}). Give the consumer more memory, or lower RTP_CONSUMER_QUEUE_BYTES"
        )
