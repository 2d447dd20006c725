"""Kafka, ledger and tables compared: each record is exactly one of row, duplicate, dead letter, skipped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError
from rtp_workers.kafka import topics
from rtp_workers.kafka.log_reader import LogReader
from rtp_workers.postgres import losses
from rtp_workers.postgres.bounded import Reading
from rtp_workers.postgres.connection import Connection
from rtp_workers.postgres.ledger import Place
from rtp_workers.postgres.queries import LedgerRow, Snapshot, ledger_rows, open_rows, snapshot
from rtp_workers.reconcile.log_comparison import compare_all

POLL_S = 0.2
LAST_LOOK_S = 2.0
READ_AT_LEAST_S = 5.0
T = TypeVar("T")
Log = Mapping[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Verification:
    """The reconciliation. Counters and `kafka_records` are of the topic as it is now; `rows` is the whole table.

    Attributes:
        ok: nothing disagrees, and the ledger has reached the end that the topic had at the start.
        kafka_records: offsets that the topic has handed out since the ledger's `first_offset`.
        problems: one sentence each, with what to do; empty when `ok`.
    """

    ok: bool
    kafka_records: int
    inserted: int
    duplicates: int
    dead_lettered: int
    skipped: int
    rows: int
    problems: list[str] = field(default_factory=list)


def reader_dsn(endpoints: Endpoints) -> str:
    """Returns the DSN of the least role that can read everything.

    Raises:
        ConfigError: none is known.
    """
    known = endpoints.postgres_read_dsn or endpoints.postgres_dsn or endpoints.postgres_ingest_dsn
    return known if known is not None else endpoints.need("postgres_read_dsn")


def verify(
    endpoints: Endpoints, topic: str, timeout_s: float = 60.0, on_wait: Callable[[int], None] | None = None
) -> Verification:
    """Takes the topic's ends, waits until the ledger has reached them, then compares one snapshot of everything.

    Args:
        endpoints: Kafka, and PostgreSQL as a role that may read.
        topic: its name.
        timeout_s: how long the ledger may take; 0 compares at once. It bounds the whole, but for `READ_AT_LEAST_S`,
            which the comparison gets in any case.
        on_wait: told, at each look, how many records the ledger is behind.

    Raises:
        TransientError: Kafka or PostgreSQL is away, or could not be read in time (BusyError). AttentionError: a table
            is missing. ConfigError: an address is not known, or the topic does not exist.
    """
    deadline = time.monotonic() + timeout_s
    described = topics.describe(endpoints, topic)
    if described is None:
        raise ConfigError(f"topic {topic} does not exist; run `rtp topics`, or set RTP_TOPIC to the right one")
    log = topics.log_offsets(endpoints, topic)
    awaited = Awaited(described.topic_id, log, deadline, on_wait)
    _reading(endpoints, "read the ledger", awaited.wait).within(timeout_s + LAST_LOOK_S)
    left_s = max(deadline - time.monotonic(), READ_AT_LEAST_S)
    found = _reading(endpoints, "count the tables", lambda reader: snapshot(reader, left_s)).within(left_s)
    lost = _reading(endpoints, "read what Kafka has lost", _unconfirmed).within(READ_AT_LEAST_S)
    log_after = topics.log_offsets(endpoints, topic)
    known = [loss.sentence() for loss in lost if loss.topic == topic]
    rewritten = _rewritten(endpoints, topic, open_rows(found.ledger, described.topic_id), log_after)
    return compare(found, described.topic_id, log, log_after, [*known, *rewritten])


def _unconfirmed(reader: Connection) -> list[losses.Loss]:
    return losses.listed(reader, unconfirmed_only=True)


def _rewritten(endpoints: Endpoints, topic: str, rows: Mapping[int, LedgerRow], log_after: Log) -> list[str]:
    """Returns the partitions whose log Kafka holds otherwise than it was stored, one sentence each."""
    places = {n: Place(row.next_offset, row.generation, row.marks) for n, row in rows.items() if n in log_after}
    if not places:
        return []
    group_id = next(iter(rows.values())).group_id
    found = compare_all(lambda: LogReader(endpoints, topic, group_id), places, log_after)
    return [
        f"partition {number}: Kafka does not hold the records that are stored here, from offset "
        f"{each.agreed[-1].offset + 1 if each.agreed else log_after[number][0]} on: its log was rewritten. A running "
        "consumer reads it again by itself"
        for number, each in sorted(found.items())
        if not each.same and not each.hidden
    ]


def compare(found: Snapshot, topic_id: str, log: Log, log_after: Log, of_the_log: Sequence[str] = ()) -> Verification:
    """Compares a snapshot with the log; pure.

    Args:
        found: tables and ledger.
        topic_id: the topic as it is now.
        log: (log start, end) by kafka_partition, taken before the snapshot.
        log_after: the same, taken after it.
        of_the_log: what else is wrong with the log.
    """
    now = open_rows(found.ledger, topic_id)
    problems = [
        *_behind(found.ledger, topic_id, log),
        *_beyond(now, log_after),
        *compare_tables(found),
        *_holes(found, topic_id),
        *of_the_log,
    ]
    return Verification(
        ok=not problems,
        kafka_records=_kafka_records(now, log),
        inserted=sum(row.inserted for row in now.values()),
        duplicates=sum(row.duplicates for row in now.values()),
        dead_lettered=sum(row.dead_lettered for row in now.values()),
        skipped=sum(row.skipped for row in now.values()),
        rows=sum(found.rows.values()),
        problems=problems,
    )


def compare_tables(found: Snapshot) -> list[str]:
    """Returns where ledger and tables disagree, one sentence each; Kafka has no say in it. Pure."""
    return [
        *arithmetic(found.ledger),
        *_counts(found),
        *(
            f"the primary key of {table} is missing, invalid or on other columns: mend it"
            for table in found.broken_keys
        ),
    ]


def arithmetic(rows: list[LedgerRow]) -> list[str]:
    """Returns where the ledger's own counters do not explain its offsets, one sentence each. Pure."""
    return [
        f"topic {row.topic_id} partition {row.kafka_partition}: {row.next_offset - row.first_offset} offsets, "
        f"but {row.accounted} accounted for: the ledger was edited"
        for row in rows
        if row.next_offset - row.first_offset != row.accounted
    ]


def lag(rows: list[LedgerRow], topic_id: str, log: Log) -> dict[int, int]:
    """Returns how many offsets of each partition are not in the ledger yet."""
    stored = open_rows(rows, topic_id)
    return {
        number: max(0, end - (stored[number].next_offset if number in stored else start))
        for number, (start, end) in log.items()
    }


@dataclass(frozen=True, slots=True)
class Awaited:
    """The log's ends that the ledger must reach, until when, and who is told how far it is."""

    topic_id: str
    log: Log
    deadline: float
    on_wait: Callable[[int], None] | None

    def wait(self, connection: Connection) -> None:
        """Looks until the ledger has reached the ends, or the deadline has come."""
        while left := sum(lag(ledger_rows(connection), self.topic_id, self.log).values()):
            if self.on_wait is not None:
                self.on_wait(left)
            if time.monotonic() >= self.deadline:
                return
            time.sleep(POLL_S)


def _reading(endpoints: Endpoints, doing: str, read: Callable[[Connection], T]) -> Reading[T]:
    dsn = reader_dsn(endpoints)
    return Reading(dsn, endpoints.postgres_dsn or dsn, "rtp-verify", doing, read)


def _kafka_records(now: Mapping[int, LedgerRow], log: Log) -> int:
    """A stream that runs on puts the ledger past the end that was taken: those records count too."""
    return sum(
        max(end, now[number].next_offset) - now[number].first_offset if number in now else end - start
        for number, (start, end) in log.items()
    )


def _behind(rows: list[LedgerRow], topic_id: str, log: Log) -> list[str]:
    return [
        f"partition {number}: {left} records up to offset {log[number][1]} are not in the ledger; "
        "is the consumer running and not paused? See `rtp status`"
        for number, left in sorted(lag(rows, topic_id, log).items())
        if left
    ]


def _beyond(now: Mapping[int, LedgerRow], log_after: Log) -> list[str]:
    problems = []
    for number, row in sorted(now.items()):
        end = log_after.get(number, (0, 0))[1]
        if row.next_offset > end:
            problems.append(
                f"partition {number}: the ledger is at {row.next_offset}, beyond the log's end {end}: "
                "Kafka has lost records that are stored, or the ledger was edited"
            )
    return problems


def _counts(found: Snapshot) -> list[str]:
    rows, dead_letters = sum(found.rows.values()), sum(found.dead_letters.values())
    inserted = sum(row.inserted for row in found.ledger) - found.purged_rows
    dead_lettered = sum(row.dead_lettered for row in found.ledger) - found.purged_dead_letters
    problems = []
    if rows != inserted:
        problems.append(f"transactions has {rows} rows, the ledger says {inserted}: {_difference(rows, inserted)}")
    if dead_letters != dead_lettered:
        difference = _difference(dead_letters, dead_lettered)
        problems.append(f"dead_letters has {dead_letters} rows, the ledger says {dead_lettered}: {difference}")
    if found.foreign_rows:
        problems.append(
            f"{found.foreign_rows} rows come from offsets that no ledger row covers: something else than the consumer "
            "wrote them"
        )
    inserted_by: dict[int, int] = {}
    for row in found.ledger:
        inserted_by[row.kafka_partition] = inserted_by.get(row.kafka_partition, 0) + row.inserted
    for number, count in sorted(found.rows.items()):
        if count > inserted_by.get(number, 0):
            problems.append(f"partition {number}: {count} rows, but only {inserted_by.get(number, 0)} were inserted")
    dead_lettered_by: dict[tuple[str, int], int] = {}
    for row in found.ledger:
        place = (row.topic_id, row.kafka_partition)
        dead_lettered_by[place] = dead_lettered_by.get(place, 0) + row.dead_lettered
    for (topic_id, number), count in sorted(found.dead_letters.items()):
        if count > dead_lettered_by.get((topic_id, number), 0):
            problems.append(f"topic {topic_id} partition {number}: more dead letters ({count}) than the ledger has")
    return problems


def _difference(found: int, expected: int) -> str:
    if found < expected:
        return f"{expected - found} were deleted by something else than `rtp purge`"
    return f"{found - expected} were written by something else than the consumer"


def _holes(found: Snapshot, topic_id: str) -> list[str]:
    return [
        f"partition {hole.kafka_partition}: Kafka deleted offsets {hole.from_offset} to {hole.to_offset} before they "
        "were consumed; accept the loss with `rtp resume --accept-holes`"
        for hole in found.open_holes
        if hole.topic_id == topic_id
    ]
