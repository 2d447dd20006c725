"""Keeps track of partitions that do not move, from what the session sees. No network.

Time is counted in turns of the loop, each at most `LONGEST_TURN_S`. So time during which a signal had stopped the
process does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from rtp_workers.backoff import Backoff

LONGEST_TURN_S = 1.0


@dataclass(slots=True)
class TurnClock:
    """Seconds that have passed while the loop was turning."""

    read: Callable[[], float] = time.monotonic
    seconds: float = 0.0
    _last: float | None = None

    def turn(self) -> float:
        """Adds the time since the last turn, at most `LONGEST_TURN_S`, and returns the sum."""
        now = self.read()
        if self._last is not None:
            self.seconds += min(now - self._last, LONGEST_TURN_S)
        self._last = now
        return self.seconds


def stands(position: int | None, end: int, since_s: float) -> str:
    """Returns the sentence about a stuck partition whose cause is not known."""
    where = "its offset is not known yet" if position is None else f"it is stuck at offset {position}"
    waiting = "" if position is None else f" although {end - position:,} offsets wait"
    return f"{where}{waiting}, and nothing has been stored for {since_s:.0f} s; docs/faults.md says what to look at"


class Progress:
    """Notices partitions whose stored offset does not move although records wait."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[int | None, float]] = {}

    def standing_s(
        self, positions: Mapping[int, int | None], ends: Mapping[int, int], now_s: float
    ) -> dict[int, float]:
        """Returns for how long each partition has not moved although records wait in it.

        Args:
            positions: the next offset to store for every partition that is ours, by kafka_partition; None while it
                is not known.
            ends: the end of the log, by kafka_partition.
            now_s: the time of a `TurnClock`.
        """
        before, self._since = self._since, {}
        for number, position in positions.items():
            if number not in ends or (position is not None and ends[number] <= position):
                continue
            kept = before.get(number)
            self._since[number] = kept if kept is not None and kept[0] == position else (position, now_s)
        return {number: now_s - since for number, (_, since) in self._since.items()}


@dataclass(slots=True)
class Stuck:
    """An offset that cannot be read. It can only be tried again, until a person skips it."""

    offset: int
    reason: str
    retry_at_s: float
    backoff: Backoff
    is_record: bool

    @property
    def to(self) -> str:
        """The option of `rtp skip` that a readable offset needs."""
        return f" --to {self.offset + 1}" if self.is_record else ""


@dataclass(slots=True)
class StuckPartitions:
    """Partitions whose next batch cannot be read or stored, each with its offset and the reason."""

    topic: str
    _stuck: dict[int, Stuck] = field(default_factory=dict)

    def __contains__(self, kafka_partition: int) -> bool:
        return kafka_partition in self._stuck

    def note(self, kafka_partition: int, offset: int, reason: str, now_s: float, *, is_record: bool = False) -> None:
        """Notes a failure at `offset`, which sets when the next attempt is due.

        `is_record` says that Kafka can be read there, but this one record cannot be stored.
        """
        known = self._stuck.get(kafka_partition)
        backoff = known.backoff if known is not None and known.offset == offset else Backoff(1.0, 10.0)
        self._stuck[kafka_partition] = Stuck(offset, reason, now_s + backoff.next_s(), backoff, is_record)

    def due(self, now_s: float, is_at_rest: Callable[[int], bool]) -> list[int]:
        """Returns the partitions at rest that are due for another attempt now. Each is returned once."""
        due = [n for n, stuck in self._stuck.items() if stuck.retry_at_s <= now_s and is_at_rest(n)]
        for number in due:
            self._stuck[number].retry_at_s = float("inf")
        return due

    def waits(self, kafka_partition: int, now_s: float) -> bool:
        """Tells whether the partition must wait until its next attempt is due."""
        stuck = self._stuck.get(kafka_partition)
        return stuck is not None and now_s < stuck.retry_at_s < float("inf")

    def moved(self, positions: Mapping[int, int]) -> None:
        """Forgets the partitions that have moved past their bad offset."""
        for number in [n for n, stuck in self._stuck.items() if positions.get(n, stuck.offset) > stuck.offset]:
            del self._stuck[number]

    def given_up(self, partitions: Iterable[int]) -> None:
        """Forgets partitions that are no longer ours."""
        for number in partitions:
            self._stuck.pop(number, None)

    def problems(self) -> dict[str, str]:
        """Returns one sentence for each stuck partition, which says how to continue."""
        return {
            f"partition {number}": (
                f"it is stuck at offset {stuck.offset}: {stuck.reason}. Step over it with `rtp skip --topic "
                f"{self.topic} --partition {number} --offset {stuck.offset}{stuck.to}`, which counts what it skips"
            )
            for number, stuck in self._stuck.items()
        }
