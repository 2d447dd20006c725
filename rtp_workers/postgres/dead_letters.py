"""Dead letters: refused records, with their bytes as received, and when they were sent again."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, field
from datetime import datetime
from typing import Any

from rtp_workers.errors import ConfigError, TransientError
from rtp_workers.postgres.connection import Connection, translated

REPLAY_LOCK = 7_231_003

_COLUMNS = (
    "topic_id, kafka_partition, kafka_offset, generation, topic, key, value, headers, reason, detail, first_seen_at, "
    "replayed_at, kafka_timestamp"
)
# A filter that is null lets everything pass. Keyset paging: after the place of the last one seen.
_WHERE = """
where (%(topic)s::text is null or topic = %(topic)s)
  and (%(reason)s::text is null or reason = %(reason)s)
  and (%(replayed)s::boolean is null or (replayed_at is not null) = %(replayed)s)
"""
_NEWEST = f"select {_COLUMNS} from dead_letters {_WHERE} order by first_seen_at desc, kafka_offset desc limit %(limit)s"  # noqa: S608 - ours
_AFTER = f"""
select {_COLUMNS} from dead_letters {_WHERE} and first_seen_at <= %(until)s
  and (topic_id, kafka_partition, generation, kafka_offset)
    > (%(topic_id)s, %(kafka_partition)s, %(generation)s, %(kafka_offset)s)
order by topic_id, kafka_partition, generation, kafka_offset limit %(limit)s
"""  # noqa: S608 - our own column names
_ONE = f"""
select {_COLUMNS} from dead_letters
where topic_id = %s and kafka_partition = %s and kafka_offset = %s and generation = %s
"""  # noqa: S608 - our own column names
_REASONS = f"select reason, count(*) from dead_letters {_WHERE} group by reason order by count(*) desc, reason"  # noqa: S608 - ours
_REPLAYED = """
update dead_letters set replayed_at = now()
from unnest(%s::text[], %s::int[], %s::bigint[], %s::int[])
    as sent (topic_id, kafka_partition, kafka_offset, generation)
where (dead_letters.topic_id, dead_letters.kafka_partition, dead_letters.generation, dead_letters.kafka_offset)
    = (sent.topic_id, sent.kafka_partition, sent.generation, sent.kafka_offset)
"""

Header = tuple[str, bytes | None]


class ReplayRunningError(TransientError):
    """A replay of dead letters is running, or a purge that keeps replays from beginning."""


@dataclass(frozen=True, slots=True, order=True)
class DeadLetterId:
    """Where the record was: written ``<topic_id>:<kafka_partition>:<kafka_offset>``, as in the header ``replay_of``.

    A generation other than the first one is written after it: ``<topic_id>:<kafka_partition>:<kafka_offset>:2``.
    """

    topic_id: str
    kafka_partition: int
    kafka_offset: int
    generation: int = 0

    def __str__(self) -> str:
        later = f":{self.generation}" if self.generation else ""
        return f"{self.topic_id}:{self.kafka_partition}:{self.kafka_offset}{later}"

    @classmethod
    def parse(cls, text: str) -> DeadLetterId:
        """Reads the written form.

        Raises:
            ConfigError: it is something else.
        """
        topic_id, *numbers = text.strip().split(":")
        if (
            not topic_id
            or len(numbers) not in (2, 3)
            or not all(number.isascii() and number.isdigit() for number in numbers)
        ):
            raise ConfigError(
                f"{text!r} is not the id of a dead letter; give <topic_id>:<partition>:<offset> as "
                "`rtp dead-letters list` prints it"
            )
        return cls(topic_id, *map(int, numbers))


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A refused record as it came, and why.

    Attributes:
        key, value: bytes as received, or None.
        headers: in order; a name may come twice.
        reason: short code.
        detail: one sentence.
        replayed_at: when it was last sent again, or None.
        kafka_timestamp: the record's timestamp in Kafka; None if it has none, and for dead letters of old releases.
    """

    id: DeadLetterId
    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    reason: str
    detail: str
    first_seen_at: datetime
    replayed_at: datetime | None
    kafka_timestamp: datetime | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters: None lets everything pass. ``replayed`` False: only those never sent again."""

    topic: str | None = None
    reason: str | None = None
    replayed: bool | None = None

    def values(self) -> dict[str, Any]:
        """Returns the filter as query parameters."""
        return {"topic": self.topic, "reason": self.reason, "replayed": self.replayed}


@dataclass(frozen=True, slots=True)
class Overview:
    """How many there are by reason, most frequent first."""

    by_reason: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_reason.values())


def newest(connection: Connection, wanted: Filter | None = None, limit: int = 50) -> list[StoredDeadLetter]:
    """Returns the latest ones, newest first. `connection` is in autocommit mode; any role of ours may ask."""
    with translated("list the dead letters"), connection.cursor() as cursor:
        cursor.execute(_NEWEST, {**(wanted or Filter()).values(), "limit": limit})
        return [_stored(row) for row in cursor.fetchall()]


def pages(connection: Connection, wanted: Filter, size: int) -> Iterator[list[StoredDeadLetter]]:
    """Yields all that there are now and pass, `size` at a time, in the order of their place; memory holds one page.

    Later ones are left out: a replayed record that is refused again must not be met again.
    """
    last = DeadLetterId("", -1, -1)
    with translated("read the dead letters"), connection.cursor() as cursor:
        cursor.execute("select now()")
        until = cursor.fetchall()[0][0]
    while True:
        place = asdict(last)
        with translated("read the dead letters"), connection.cursor() as cursor:
            cursor.execute(_AFTER, {**wanted.values(), **place, "until": until, "limit": size})
            page = [_stored(row) for row in cursor.fetchall()]
        if not page:
            return
        yield page
        last = page[-1].id


def find(connection: Connection, ids: Sequence[DeadLetterId]) -> list[StoredDeadLetter]:
    """Returns those with these ids, in that order; unknown ids are left out."""
    found = []
    with translated("read dead letters"), connection.cursor() as cursor:
        for wanted in ids:
            cursor.execute(_ONE, astuple(wanted))
            found += [_stored(row) for row in cursor.fetchall()]
    return found


def overview(connection: Connection, wanted: Filter | None = None) -> Overview:
    """Returns how many there are by reason."""
    with translated("count the dead letters"), connection.cursor() as cursor:
        cursor.execute(_REASONS, (wanted or Filter()).values())
        return Overview(dict(cursor.fetchall()))


def mark_replayed(connection: Connection, ids: Sequence[DeadLetterId]) -> None:
    """Sets `replayed_at`, after Kafka has acknowledged them. Role rtp_ingest, autocommit."""
    if not ids:
        return
    columns = [list(column) for column in zip(*map(astuple, ids), strict=True)]
    with translated("mark dead letters as replayed"), connection.cursor() as cursor:
        cursor.execute(_REPLAYED, columns)


@contextmanager
def replay_locked(connection: Connection) -> Iterator[None]:
    """Makes sure that only one replay runs: two would send the same records. A purge locks out replays, too.

    Raises:
        ReplayRunningError: another replay runs, or a purge.
    """
    with translated("lock the dead letters"), connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_lock(%s)", (REPLAY_LOCK,))
        if not cursor.fetchall()[0][0]:
            raise ReplayRunningError(
                "another replay of dead letters, or a purge, is running; wait for it and run again"
            )
    try:
        yield
    finally:
        if not connection.closed:
            with translated("unlock the dead letters"), connection.cursor() as cursor:
                cursor.execute("select pg_advisory_unlock(%s)", (REPLAY_LOCK,))


def _stored(row: tuple[Any, ...]) -> StoredDeadLetter:
    topic, key, value, headers, reason, detail, first_seen, replayed, kafka_timestamp = row[4:]
    return StoredDeadLetter(
        id=DeadLetterId(*row[:4]),
        topic=topic,
        key=None if key is None else bytes(key),
        value=None if value is None else bytes(value),
        headers=[(name, None if text is None else base64.b64decode(text)) for name, text in headers],
        reason=reason,
        detail=detail,
        first_seen_at=first_seen,
        replayed_at=replayed,
        kafka_timestamp=kafka_timestamp,
    )
