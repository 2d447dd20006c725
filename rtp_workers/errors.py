"""The error tree. A branch fixes what the caller does, so nobody has to read messages to decide.

Every message says what happened, to what, and what to do next.
"""

from __future__ import annotations


class RtpError(Exception):
    """Root of every error that this project raises on purpose."""


class ConfigError(RtpError):
    """The settings or the set-up are wrong: exit before doing any work; a retry cannot help."""


class TransientError(RtpError):
    """A dependency is away or busy: retry with jitter; offsets are untouched.

    Attributes:
        retry_after_s: seconds to wait at least, or None to let the caller's backoff decide.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AttentionError(RtpError):
    """Only a person can decide (a hole in the log, a missing column): stay up, pause, say why, look again."""


class FatalError(RtpError):
    """The process cannot go on: stop with a non-zero exit code."""


class RecordError(RtpError):
    """This one record is refused and becomes a dead letter (or a refused CSV row); its neighbours land.

    Attributes:
        reason: short stable code, e.g. ``amount_not_decimal``.
        field: the field at fault, or None where the record as a whole is.
    """

    def __init__(self, reason: str, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.field = field
