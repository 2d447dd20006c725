"""Lets a loop ask whether its run was cancelled, instead of an exception that may be raised at any line."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruption_noted() -> Iterator[Callable[[], bool]]:
    """Notes a cancellation while the block runs, and delivers it afterwards. (Dagster interrupts the run's process.)

    Yields a function that tells whether the run was cancelled. The loader calls it; if so, it stores what Kafka has
    acknowledged, and ends. After the block the signal is raised again, and Dagster's own handler marks the run as
    CANCELED. Outside the main thread no signals arrive, so nothing is noted there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    before = {number: signal.signal(number, note) for number in ENDING}
    try:
        yield lambda: bool(noted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if noted:
            signal.raise_signal(noted[0])
