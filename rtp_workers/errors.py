"""The error tree. The class of an error tells the caller what to do, so no code has to read messages.

Every message says what happened, to what, and what to do next.
"""

from __future__ import annotations


class RtpError(Exception):
    """Root of every error that this project raises on purpose."""


class ConfigError(RtpError):
    """The settings or the set-up are wrong. Exit before doing any work, since a retry cannot help."""


class AccessError(ConfigError):
    """A store refuses us: credentials, permissions or region. The data is not at fault; later it may let us in."""


class TransientError(RtpError):
    """A dependency is away or busy. Retry with jitter; offsets are untouched.

    Attributes:
        retry_after_s: seconds to wait at least, or None to let the caller's backoff decide.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AttentionError(RtpError):
    """Only a person can decide (a hole in the log, a missing column). Stay up, pause, say why, check again."""


class FatalError(RtpError):
    """The process cannot continue. Stop with a non-zero exit code."""


class RecordError(RtpError):
    """This one record is refused and becomes a dead letter (or a refused CSV row). Its neighbours are stored.

    Attributes:
        reason: short stable code, e.g. ``amount_not_decimal``.
        field: the field at fault, or None if it is the record as a whole.
    """

    def __init__(self, reason: str, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.field = field
