"""The token bucket: how many records are due now, so that the average rate is exact."""

from __future__ import annotations

# A pause up to this long (a slow acknowledgement, a busy machine) is made up for. The rest of a longer one is dropped,
# so that Kafka does not get minutes' worth of records when it returns.
CATCH_UP_S = 2.0


class TokenBucket:
    """Tokens arrive at `rate_per_s`, and each releases one record. Times are seconds of any monotonic clock."""

    def __init__(self, rate_per_s: float, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._tokens = 0.0
        self._filled_at_s = now_s

    def set_rate(self, rate_per_s: float, now_s: float) -> None:
        """Changes the rate from now on. Tokens that the old rate has earned stay."""
        self._fill(now_s)
        self._rate_per_s = rate_per_s

    def restart(self, now_s: float) -> None:
        """Forgets the time until now: after a stop, nothing is due."""
        self._tokens = 0.0
        self._filled_at_s = now_s

    def take(self, now_s: float, most: int) -> int:
        """Returns how many records may go now, at most `most`, and spends their tokens."""
        self._fill(now_s)
        due = min(int(self._tokens), most)
        self._tokens -= due
        return due

    def wait_s(self) -> float:
        """Returns the seconds until the next token, as of the last `take`; 0 if there is one."""
        return max(0.0, (1.0 - self._tokens) / self._rate_per_s)

    def _fill(self, now_s: float) -> None:
        capacity = 1.0 + self._rate_per_s * CATCH_UP_S
        self._tokens = min(capacity, self._tokens + self._rate_per_s * max(0.0, now_s - self._filled_at_s))
        self._filled_at_s = now_s
