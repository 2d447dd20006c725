"""Rows and dead letters of the last minutes, computed from the ledger's counters at earlier ticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtp_workers.postgres.account import Account, summed
from rtp_workers.postgres.connection import Connection
from rtp_workers.postgres.recent import Recent, recent_reasons

WINDOW_S = 300.0  # the time over which the share of dead letters is computed


@dataclass(frozen=True, slots=True)
class Sample:
    """The ledger's counters at one moment. They only grow.

    Attributes:
        at_s: Unix time.
        inserted: rows written so far.
        dead_lettered: dead letters written so far.
    """

    at_s: float
    inserted: int
    dead_lettered: int


def kept(samples: Sequence[Sample], now: Sample, window_s: float) -> list[Sample]:
    """Returns the samples that the window needs, oldest first: the last one before it, those inside, and `now`.

    If the counters went back (another database), the series starts again.
    """
    if samples and (samples[-1].inserted > now.inserted or samples[-1].dead_lettered > now.dead_lettered):
        return [now]
    begins_s = now.at_s - window_s
    before = [sample for sample in samples if sample.at_s <= begins_s]
    return [*before[-1:], *(sample for sample in samples if sample.at_s > begins_s), now]


def grown(samples: Sequence[Sample]) -> tuple[int, int]:
    """Returns how many rows and dead letters were added between the first sample and the last."""
    first, last = samples[0], samples[-1]
    return last.inserted - first.inserted, last.dead_lettered - first.dead_lettered


def sample_of(account: Account, at_s: float) -> Sample:
    """Returns the counters of the ledger, history included."""
    sums = summed(account.ledger)
    return Sample(at_s, sums.inserted, sums.dead_lettered)


def lately(connection: Connection, samples: Sequence[Sample], window_s: float) -> Recent:
    """Returns the rows and dead letters of the window, from the ledger's counters. No table is counted."""
    rows, dead_letters = grown(samples)
    reasons = recent_reasons(connection, window_s) if dead_letters else {}
    return Recent(window_s, rows, dead_letters, reasons)
