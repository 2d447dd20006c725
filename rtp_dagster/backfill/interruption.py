"""A cancelled run as a question that a loop can ask, instead of an exception at any line."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruption_noted() -> Iterator[Callable[[], bool]]:
    """Notes a cancellation (Dagster interrupts the run's process) while the block runs, and delivers it afterwards.

    Yields a function that tells whether one has come: the loader asks it, stores what Kafka has acknowledged, and ends.
    After the block the signal is raised again, for Dagster's own handler, which makes the run CANCELED. Outside the
    main thread no signal arrives, and nothing is noted.
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
