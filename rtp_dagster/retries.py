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

    What passes by itself is tried again after a wait that doubles; what does not, or lasts too long, fails the step
    with the error's own sentence, which says what to do.

    Args:
        attempt: 0 the first time (Dagster's ``retry_number``).
        retries: how often to try again.
        first_wait_s: before the first retry.

    Raises:
        dg.RetryRequested, dg.Failure: see above.
    """
    try:
        yield
    except RtpError as error:
        if isinstance(error, TransientError) and attempt < retries:
            raise dg.RetryRequested(retries, first_wait_s * 2**attempt) from error
        raise dg.Failure(str(error), allow_retries=False) from error
