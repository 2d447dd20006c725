"""Retries of steps. Dagster's own RetryPolicy is not used: with it, a cancelled step starts again."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from rtp_workers.errors import RtpError, TransientError

RETRIES = 3
FIRST_WAIT_S = 3.0


@contextmanager
def retried(attempt: int, retries: int = RETRIES, first_wait_s: float = FIRST_WAIT_S) -> Iterator[None]:
    """Turns the project's errors into Dagster's.

    A transient error is retried, and the wait doubles each time. Any other error, or one that lasts too long, fails
    the step with the error's own message, which says what to do.

    Args:
        attempt: Dagster's ``retry_number``, 0 the first time.
        retries: how often to retry.
        first_wait_s: the wait before the first retry.

    Raises:
        dg.RetryRequested: the error may pass, and retries are left.
        dg.Failure: it will not pass, or no retries are left.
    """
    try:
        yield
    except RtpError as error:
        if isinstance(error, TransientError) and attempt < retries:
            raise dg.RetryRequested(retries, first_wait_s * 2**attempt) from error
        raise dg.Failure(str(error), allow_retries=False) from error
