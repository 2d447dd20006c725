"""How a load ended in PostgreSQL. Waits a little for the consumer, then reads what became of the load's records."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rtp_workers.counted import counted
from rtp_workers.postgres import load_outcomes
from rtp_workers.postgres.connection import Connection
from rtp_workers.postgres.load_outcomes import Outcomes

POLL_S = 0.1
STANDSTILL_S = 3.0  # a running consumer moves the ledger many times a second


@dataclass(frozen=True, slots=True)
class LoadEnding:
    """What became of the records of a load.

    Attributes:
        outcomes: those that the consumer has written or counted.
        waiting: how many offsets up to the load's last record it has not reached.
    """

    outcomes: Outcomes
    waiting: int


def await_ending(connection: Connection, load_id: int, topic_id: str, timeout_s: float = 60.0) -> LoadEnding:
    """Returns how the records of a load ended. Waits until all have, or the ledger has not moved for `STANDSTILL_S`.

    Args:
        connection: in autocommit mode; any role that may read.
        load_id: the load.
        topic_id: id of the topic that received it.
        timeout_s: how long to wait at most while the ledger moves.
    """
    started = moved_at = time.monotonic()
    before = None
    while waiting := load_outcomes.waiting(connection, [load_id], topic_id):
        now = time.monotonic()
        if waiting != before:
            before, moved_at = waiting, now
        if now - moved_at > STANDSTILL_S or now - started > timeout_s:
            break
        time.sleep(POLL_S)
    return LoadEnding(load_outcomes.read(connection, load_id), waiting)


def in_words(ending: LoadEnding) -> str:
    """Returns one line: ``12 new, 7 already stored (from january.csv), 1 dead letter``."""
    outcomes = ending.outcomes
    parts = [f"{outcomes.inserted:,} new"]
    stored = outcomes.duplicates - outcomes.own_repeats
    if stored:
        names = ", ".join(f"{count:,} from {source.removeprefix('csv:')}" for source, count in outcomes.stored_by[:3])
        parts.append(f"{stored:,} already stored ({names})")
    if outcomes.own_repeats:
        parts.append(f"{outcomes.own_repeats:,} sent twice by this load")
    if outcomes.dead_letters:
        parts.append(f"{counted(outcomes.dead_letters, 'dead letter')} (see `rtp dead-letters list`)")
    if ending.waiting:
        parts.append("the others wait for the consumer (see `rtp status`)")
    text = ", ".join(parts)
    if outcomes.changed:
        has = "has" if outcomes.changed == 1 else "have"
        text += (
            f"\n  {outcomes.changed:,} of those already stored {has} changed since; the stored rows stay as they are"
        )
    return text
