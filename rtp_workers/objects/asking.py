"""Requests that Ctrl-C can interrupt: obstore retries for up to a minute, and ignores signals meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

LOOK_EVERY_S = 0.5
T = TypeVar("T")


def answer_of(ask: Callable[[], T]) -> T:
    """Returns what `ask` returns, or raises what it raises. A signal's handler may end the wait for it."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(ask())
        except BaseException as error:  # noqa: BLE001 - a panic of Rust's is one; the waiting thread raises it
            future.set_exception(error)

    threading.Thread(target=work, name="object-store", daemon=True).start()
    # Python may miss a signal that comes just before it waits without a limit.
    while not wait([future], LOOK_EVERY_S).done:
        pass
    return future.result()
