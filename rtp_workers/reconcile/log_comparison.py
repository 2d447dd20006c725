"""Is Kafka's log the one whose records are stored? Compares the ledger's marks with the log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rtp_workers.errors import RtpError, TransientError
from rtp_workers.kafka.log_reader import LogReader, Stretch
from rtp_workers.postgres.ledger import Place
from rtp_workers.reconcile.balance import Log
from rtp_workers.record.marks import SKIPPED, Mark

READ_TIMEOUT_S = 10.0


class LogUnreadError(TransientError):
    """Kafka's log could not be read, so nobody knows whether it is the one that is stored."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a partition's log compares with its ledger.

    Attributes:
        same: no difference was found.
        agreed: the marks that agree with Kafka's log, from the oldest to the last one before the first difference.
        hidden: an open transaction hides the records that decide.
    """

    same: bool
    agreed: tuple[Mark, ...]
    hidden: bool = False


def stretches(place: Place, log_start: int) -> list[range]:
    """Returns the offsets to compare, latest first: each mark's, and from the last mark to the ledger's position."""
    return [range(mark.offset, _end(mark, place)) for mark in reversed(place.marks) if _decides(mark, place, log_start)]


def compare(place: Place, log_start: int, log_end: int, found: Mapping[range, Stretch]) -> Comparison:
    """Compares a partition's marks with what Kafka holds. Pure.

    Args:
        place: the ledger's position.
        log_start: first offset that Kafka holds.
        log_end: the offset that the next record gets.
        found: what Kafka holds in `stretches`.
    """
    agreed: list[Mark] = []
    for mark in place.marks:
        if _decides(mark, place, log_start):
            held = found[range(mark.offset, _end(mark, place))]
            if held.hidden or held.marks != [mark]:
                return Comparison(False, tuple(agreed), hidden=held.hidden)
        agreed.append(mark)
    if place.offset <= log_end:
        return Comparison(True, tuple(agreed))
    return Comparison(False, tuple(mark for mark in agreed if mark.offset < log_end))


def _decides(mark: Mark, place: Place, log_start: int) -> bool:
    return mark.digest != SKIPPED and log_start <= mark.offset < place.offset


def _end(mark: Mark, place: Place) -> int:
    """Returns the end of the offsets in which the mark's record is the only one."""
    return place.offset if mark == place.marks[-1] else mark.offset + 1


def compare_all(
    open_reader: Callable[[], LogReader],
    places: Mapping[int, Place],
    log_now: Log,
    timeout_s: float = READ_TIMEOUT_S,
    *,
    whole_s: float = math.inf,
) -> dict[int, Comparison]:
    """Reads the offsets to compare from Kafka and compares them, by kafka_partition.

    Args:
        open_reader: opens a reader of the topic's log, which this function closes.
        places: the ledger's positions; read before `log_now`, since both grow.
        log_now: (log start, end) by kafka_partition, of each partition in `places`.
        timeout_s: how long Kafka may take for one stretch of each partition. There are some dozens, so over a slow line
            all of them take longer.
        whole_s: how long all of them together may take.

    Raises:
        LogUnreadError: Kafka did not answer, or did not allow it.
    """
    left = {number: stretches(place, log_now[number][0]) for number, place in places.items()}
    found: dict[int, dict[range, Stretch]] = {number: {} for number in places}
    deadline = time.monotonic() + whole_s
    if any(left.values()):
        try:
            reader = open_reader()
            try:
                while wanted := {number: some.pop(0) for number, some in left.items() if some}:
                    left_s = max(0.5, min(timeout_s, deadline - time.monotonic()))
                    for number, stretch in reader.read(wanted, left_s).items():
                        found[number][wanted[number]] = stretch
            finally:
                reader.close()
        except RtpError as error:
            raise LogUnreadError(str(error)) from error
    return {number: compare(place, *log_now[number], found[number]) for number, place in places.items()}
