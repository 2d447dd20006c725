"""How long the comparison of Kafka's log with the ledger may take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rtp_workers.consumer.continuity import LONGEST_READ_S, Continuity
from rtp_workers.errors import TransientError
from rtp_workers.kafka.log_reader import LogReader, Stretch
from rtp_workers.postgres.ledger import Place
from rtp_workers.reconcile import log_comparison
from rtp_workers.reconcile.log_comparison import READ_TIMEOUT_S, LogUnreadError
from rtp_workers.record.marks import Mark

MARK = Mark(4, "digest")
PLACES = {0: Place(5, 0, (MARK,))}
LOG = {0: (0, 5)}


class SlowLine:
    """Reads what is wanted in `needs_s`, if so much time is given; notes what was given."""

    def __init__(self, needs_s: float) -> None:
        self._needs_s = needs_s
        self.passed_s = 0.0
        self.given_s: list[float] = []
        self.reading = False

    def read(self, wanted: Mapping[int, range], timeout_s: float) -> dict[int, Stretch]:
        assert self.reading
        self.given_s.append(round(timeout_s))
        if timeout_s < self._needs_s:
            raise TransientError("too slow")
        self.passed_s += self._needs_s
        return {number: Stretch([Mark(offsets.start, "digest")]) for number, offsets in wanted.items()}

    def close(self) -> None:
        """Has nothing to close."""

    @contextmanager
    def while_reading(self) -> Iterator[None]:
        self.reading = True
        try:
            yield
        finally:
            self.reading = False


def continuity_over(line: SlowLine) -> Continuity:
    return Continuity(lambda: cast(LogReader, line), line.while_reading)


def test_a_comparison_that_fails_gets_more_time_until_it_is_done() -> None:
    line = SlowLine(needs_s=35)
    continuity = continuity_over(line)
    unused: Any = None
    for _ in range(2):
        with pytest.raises(LogUnreadError):
            continuity.checked(unused, unused, PLACES, LOG)
    assert continuity.checked(unused, unused, PLACES, LOG) == (PLACES, {})
    assert continuity.doubt(PLACES, LOG) is None, "a slow line gets its time again"
    assert line.given_s == [READ_TIMEOUT_S, 2 * READ_TIMEOUT_S, 4 * READ_TIMEOUT_S, 4 * READ_TIMEOUT_S]


def test_the_time_for_a_comparison_has_a_limit() -> None:
    line = SlowLine(needs_s=10 * LONGEST_READ_S)
    continuity = continuity_over(line)
    for _ in range(9):
        with pytest.raises(LogUnreadError):
            continuity.doubt(PLACES, LOG)
    assert max(line.given_s) == LONGEST_READ_S


def test_each_answer_over_a_slow_line_has_the_whole_time(monkeypatch: pytest.MonkeyPatch) -> None:
    line = SlowLine(needs_s=8)
    monkeypatch.setattr(log_comparison, "time", SimpleNamespace(monotonic=lambda: line.passed_s))
    places = {0: Place(4, 0, tuple(Mark(offset, "digest") for offset in range(4)))}
    assert continuity_over(line).doubt(places, {0: (0, 4)}) is None
    assert line.given_s == [READ_TIMEOUT_S] * 4
