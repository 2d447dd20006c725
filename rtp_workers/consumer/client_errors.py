"""Errors that Kafka's client reports: each is logged once, and shown while it lasts."""

from __future__ import annotations

from collections.abc import Sequence

from rtp_workers import logs
from rtp_workers.consumer.reasons import Reasons
from rtp_workers.errors import AttentionError, ConfigError, RtpError

# The client repeats a lasting error within seconds. An error that is not repeated has passed.
PASSED_AFTER_S = 30.0
log = logs.get(__name__)


class ClientErrors:
    """What the client has reported lately. Arriving records show that the trouble is over."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._reasons = Reasons()
        self._problem: tuple[str, float] | None = None

    def note(self, errors: Sequence[RtpError], now_s: float) -> None:
        """Logs new errors. Keeps an error that only a person can end as a problem; other errors pass by themselves."""
        for error in errors:
            if self._reasons.is_new(str(error)):
                log.info("kafka_client_error", topic=self._topic, reason=str(error))
            if isinstance(error, (AttentionError, ConfigError)):
                self._problem = (str(error), now_s)

    def clear(self) -> None:
        """Forgets all errors. Call it when records arrive: whatever was wrong is over."""
        self._reasons.clear()
        self._problem = None

    def problems(self, now_s: float) -> dict[str, str]:
        """Returns the problem under ``kafka`` while the client repeats it."""
        if self._problem is None or now_s - self._problem[1] > PASSED_AFTER_S:
            return {}
        return {"kafka": self._problem[0]}
