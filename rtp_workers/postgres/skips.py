"""Skips offsets because a person says so. The ledger counts them, and the reason is kept."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from rtp_workers.errors import AttentionError
from rtp_workers.postgres import ledger
from rtp_workers.postgres.batch import Counts, Span
from rtp_workers.postgres.connection import Connection, translated
from rtp_workers.postgres.ledger import Place

_NOTE = """
insert into log_holes (topic_id, kafka_partition, generation, from_offset, to_offset, accepted_at, counted_at, reason)
values (%s, %s, %s, %s, %s, now(), now(), %s)
on conflict (topic_id, kafka_partition, generation, from_offset) do update
set to_offset = excluded.to_offset, accepted_at = now(), counted_at = now(), reason = excluded.reason
"""


@dataclass(frozen=True, slots=True)
class Skip:
    """Offsets of one partition, from ``from_offset`` up to but not including ``to_offset``."""

    topic_id: str
    kafka_partition: int
    generation: int
    from_offset: int
    to_offset: int

    @property
    def offsets(self) -> int:
        """How many offsets are skipped."""
        return self.to_offset - self.from_offset


def place(connection: Connection, topic_id: str, kafka_partition: int) -> Place:
    """Returns where the ledger is: the next offset that it expects. `connection` is in autocommit mode.

    Raises:
        AttentionError: the ledger has no row for this partition.
    """
    with translated("read the ledger"), connection.cursor() as cursor:
        found = ledger.places(cursor, topic_id, [kafka_partition])
    if kafka_partition not in found:
        raise AttentionError(
            f"the ledger has no row for partition {kafka_partition} yet; start a consumer (`rtp consume`), which opens "
            "it, and then skip"
        )
    return found[kafka_partition]


def step_over(connection: Connection, skip: Skip, reason: str) -> None:
    """Moves the ledger over the offsets, counts them in ``skipped``, and keeps the reason, in one transaction.

    A running consumer reads the ledger again within seconds and resumes after them.

    Args:
        connection: in autocommit mode; no transaction open.
        skip: the ledger must be at its ``from_offset``.
        reason: why, in one sentence.

    Raises:
        LedgerMovedError: the ledger is elsewhere by now; nothing is changed.
    """
    spans = {skip.kafka_partition: Span(skip.from_offset, skip.to_offset, 0, skip.offsets, skip.generation)}
    with translated("step over offsets"), connection.cursor() as cursor:
        cursor.execute("begin")
        try:
            ledger.move(cursor, skip.topic_id, spans, {skip.kafka_partition: Counts(skipped=skip.offsets)})
            cursor.execute(_NOTE, (*astuple(skip), reason))
        except ledger.LedgerMovedError:
            cursor.execute("rollback")
            raise
        cursor.execute("commit")
