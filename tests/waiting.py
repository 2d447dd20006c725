"""Waiting for a condition instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.05
# A machine that runs other things needs longer than five times what an idle one takes; a failure may cost a minute.
AT_LEAST_S = 60.0


def wait_until(condition: Callable[[], T], timeout_s: float = 30.0, what: str = "the condition") -> T:
    """Calls `condition` until it returns something true, and returns that.

    Args:
        condition: cheap, and free of side effects; what it raises ends the wait.
        timeout_s: generous: five times what it takes on an idle machine. Less than `AT_LEAST_S` becomes that.
        what: named in the failure.

    Raises:
        AssertionError: still false by then; the last value is in the message.
    """
    allowed_s = max(timeout_s, AT_LEAST_S)
    deadline = time.monotonic() + allowed_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {allowed_s:g} s; last seen: {value!r}")
        time.sleep(POLL_S)
