"""A topic whose records cannot be decoded yet, because the schema registry is away: it waits, and says why."""

from __future__ import annotations

import time

from rtp_workers.backoff import Backoff
from rtp_workers.errors import AttentionError, TransientError


class DecodingWait:
    """Knows whether delivery is held, and for what reason.

    Attributes:
        problem: why records cannot be decoded, or None.
    """

    def __init__(self) -> None:
        self._backoff = Backoff(first_s=0.5)
        self._until = 0.0
        self.problem: str | None = None

    @property
    def holds(self) -> bool:
        """True until the records are to be tried again."""
        return self.problem is not None and time.monotonic() < self._until

    def begin(self, error: TransientError | AttentionError) -> None:
        """Notes that the records polled last cannot be decoded yet."""
        self.problem = str(error)
        self._until = time.monotonic() + self._backoff.next_s(getattr(error, "retry_after_s", None))

    def end(self) -> None:
        """Notes that records were decoded."""
        self.problem = None
        self._backoff.reset()
