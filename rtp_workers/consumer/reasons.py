"""Remembers what was logged about an outage, so that each reason is logged once and not at every attempt."""

from __future__ import annotations

import re

_FIGURES = re.compile(r"\d+(?:[.,]\d+)*")


class Reasons:
    """Remembers the reasons given during one outage. Reasons that differ only in figures count as the same."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def is_new(self, reason: str) -> bool:
        """Returns True the first time that a reason is given since the last `clear`."""
        shape = _FIGURES.sub("#", reason)
        if shape in self._said:
            return False
        self._said.add(shape)
        return True

    def clear(self) -> None:
        """Forgets all reasons, because the outage is over."""
        self._said.clear()
