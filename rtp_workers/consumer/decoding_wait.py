"""Makes a topic wait, and says why, while its records cannot be decoded because the schema registry is away."""

from __future__ import annotations

import time

from rtp_workers.backoff import Backoff
from rtp_workers.errors import AttentionError, TransientError


class DecodingWait:
    """Knows whether delivery is held, and why.

    Attributes:
        problem: why records cannot be decoded, or None.
    """

    def __init__(self) -> None:
        self._backoff = Backoff(first_s=0.5)
        self._until = 0.0
        self.problem: str | None = None

    @property
    def holds(self) -> bool:
        """True until it is time to try the records again."""
        return self.problem is not None and time.monotonic() < self._until

    def begin(self, error: TransientError | AttentionError) -> None:
        """Records that the last polled records cannot be decoded yet."""
        self.problem = str(error)
        self._until = time.monotonic() + self._backoff.next_s(getattr(error, "retry_after_s", None))

    def end(self) -> None:
        """Records that decoding works again."""
        self.problem = None
        self._backoff.reset()
