"""Records that are stored here but that Kafka has lost: listed until a person confirms them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rtp_workers.postgres.connection import Connection, translated

_COLUMNS = "topic, topic_id, kafka_partition, generation, from_offset, to_offset, seen_at, confirmed_at, confirmed_by"
_LIST = f"select {_COLUMNS} from log_losses order by seen_at, topic_id, kafka_partition"  # noqa: S608 - our columns
_UNCONFIRMED = f"""
select {_COLUMNS} from log_losses where confirmed_at is null order by seen_at, topic_id, kafka_partition
"""  # noqa: S608 - our own column names
_CONFIRM = f"""
update log_losses set confirmed_at = now(), confirmed_by = %s where confirmed_at is null returning {_COLUMNS}
"""  # noqa: S608 - our own column names


@dataclass(frozen=True, slots=True)
class Loss:
    """Offsets of a generation that Kafka no longer holds as they are stored, from the first that may differ.

    Attributes:
        generation: the closed generation; the log is read again in the next one.
        to_offset: where the ledger was: the first offset that is not lost.
        confirmed_at: when a person has confirmed it, or None.
        confirmed_by: the name that this person gave.
    """

    topic: str
    topic_id: str
    kafka_partition: int
    generation: int
    from_offset: int
    to_offset: int
    seen_at: datetime
    confirmed_at: datetime | None
    confirmed_by: str | None

    @property
    def offsets(self) -> int:
        """How many offsets."""
        return self.to_offset - self.from_offset

    def sentence(self) -> str:
        """Says what was lost, what happens now, and what is left to do."""
        return (
            f"partition {self.kafka_partition}: Kafka no longer has up to {self.offsets:,} records that are stored "
            f"here (offsets {self.from_offset} to {self.to_offset - 1} of generation {self.generation}); its log is "
            f'read again from offset {self.from_offset} on. Confirm it with `rtp losses --confirm`; see "Kafka lost '
            'records" in docs/operations.md'
        )


def listed(connection: Connection, *, unconfirmed_only: bool = False) -> list[Loss]:
    """Returns the losses, oldest first. `connection` is in autocommit mode; any of our roles may ask."""
    with translated("read what Kafka has lost"), connection.cursor() as cursor:
        cursor.execute(_UNCONFIRMED if unconfirmed_only else _LIST)
        return [Loss(*row) for row in cursor.fetchall()]


def confirm(connection: Connection, confirmed_by: str) -> list[Loss]:
    """Confirms and returns every unconfirmed loss. Role rtp_ingest, autocommit."""
    with translated("confirm what Kafka has lost"), connection.cursor() as cursor:
        cursor.execute(_CONFIRM, (confirmed_by,))
        return [Loss(*row) for row in cursor.fetchall()]
