"""Kafka, ledger and tables compared: each record is exactly one of row, duplicate, dead letter, skipped."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TypeVar

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import ConfigError
from rtp_workers.kafka import topics
from rtp_workers.kafka.log_reader import LogReader
from rtp_workers.postgres import losses
from rtp_workers.postgres.account import Account, Snapshot, read_account, snapshot, summed
from rtp_workers.postgres.bounded import Reading
from rtp_workers.postgres.connection import Connection
from rtp_workers.postgres.control import Pause, read_pause
from rtp_workers.postgres.ledger import Place, identity
from rtp_workers.reconcile import balance
from rtp_workers.reconcile.balance import Log, Now
from rtp_workers.reconcile.log_comparison import READ_TIMEOUT_S, compare_all
from rtp_workers.reconcile.why_waiting import Question, Reasons, why_records_wait

POLL_S = 0.2
LAST_LOOK_S = 2.0
READ_AT_LEAST_S = 5.0
UNKNOWN = Reasons()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TopicLog:
    """A topic as it is now: its name, Kafka's id of it, and (log start, end) by kafka_partition."""

    topic: str
    topic_id: str
    log: Log


@dataclass(frozen=True, slots=True)
class TopicCounts:
    """How the records of a mapped topic ended."""

    topic: str
    kafka_records: int
    inserted: int
    duplicates: int
    dead_lettered: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Verification:
    """The reconciliation. Counters and `kafka_records` are of our own topic as it is now; `rows` is the whole table.

    Attributes:
        ok: nothing disagrees, and the ledger has reached the ends that the topics had at the start.
        kafka_records: offsets that the topic has handed out since the ledger's `first_offset`.
        problems: one sentence each, with what to do; empty when `ok`.
        topics: the same counters of each mapped topic.
    """

    ok: bool
    kafka_records: int
    inserted: int
    duplicates: int
    dead_lettered: int
    skipped: int
    rows: int
    problems: list[str] = field(default_factory=list)
    topics: list[TopicCounts] = field(default_factory=list)


def reader_dsn(endpoints: Endpoints) -> str:
    """Returns the DSN of the least role that can read everything.

    Raises:
        ConfigError: none is known.
    """
    known = endpoints.postgres_read_dsn or endpoints.postgres_dsn or endpoints.postgres_ingest_dsn
    return known if known is not None else endpoints.need("postgres_read_dsn")


def verify(
    endpoints: Endpoints,
    topic: str,
    timeout_s: float = 60.0,
    on_wait: Callable[[int], None] | None = None,
    *,
    group_id: str | None = None,
    mapped: Sequence[str] = (),
) -> Verification:
    """Takes the topics' ends, waits until the ledger has reached them, then compares one snapshot of everything.

    Args:
        endpoints: Kafka, and PostgreSQL as a role that may read.
        topic: its name.
        timeout_s: how long the ledger may take; 0 compares at once. It bounds the whole, except that the tables get at
            least `READ_AT_LEAST_S`, Kafka's log at least `READ_TIMEOUT_S`, and finding out why the ledger is behind
            takes some seconds more.
        on_wait: called at each look with how many records the ledger is behind.
        group_id: of the consumer. None takes that of the ledger; without either, less can be said about why the ledger
            is behind.
        mapped: topics other than our own that are consumed too. One that was deleted since is skipped.

    Raises:
        TransientError: Kafka or PostgreSQL is away, or could not be read in time (BusyError). AttentionError: a table
            is missing. ConfigError: an address is not known, or the topic does not exist.
    """
    deadline = time.monotonic() + timeout_s
    own = _topic_log(endpoints, topic)
    if own is None:
        raise ConfigError(f"topic {topic} does not exist; run `rtp topics`, or set RTP_TOPIC to the right one")
    others = [other for name in mapped if (other := _topic_log(endpoints, name)) is not None]
    awaited = Awaited([own, *others], deadline, on_wait)
    _reading(endpoints, "read the ledger", awaited.wait).within(timeout_s + LAST_LOOK_S)
    left_s = max(deadline - time.monotonic(), READ_AT_LEAST_S)
    found = _reading(endpoints, "count the tables", lambda reader: snapshot(reader, left_s)).within(left_s)
    lost = _reading(endpoints, "read what Kafka has lost", _unconfirmed).within(READ_AT_LEAST_S)
    evidence = Evidence(endpoints, found, lost, group_id, deadline)
    result = compare(found, own.topic_id, own.log, *evidence.of(own))
    problems = list(result.problems)
    for other in others:
        seen = evidence.of(other)
        problems += [f"topic {other.topic}: {problem}" for problem in of_topic(found, other.topic_id, other.log, *seen)]
    return replace(result, ok=not problems, problems=problems, topics=[_counts(found, other) for other in others])


def _topic_log(endpoints: Endpoints, topic: str) -> TopicLog | None:
    described = topics.describe(endpoints, topic)
    if described is None:
        return None
    return TopicLog(topic, described.topic_id, topics.log_offsets(endpoints, topic))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is asked of Kafka about a topic once the tables have been read."""

    endpoints: Endpoints
    found: Snapshot
    lost: Sequence[losses.Loss]
    group_id: str | None
    deadline: float

    def of(self, one: TopicLog) -> tuple[Log, list[str], Reasons]:
        """Returns the log after the snapshot, what is wrong with it, and why the ledger is behind, if it is."""
        log_after = topics.log_offsets(self.endpoints, one.topic)
        known = [loss.sentence() for loss in self.lost if loss.topic == one.topic]
        account = self.found.account
        left_s = max(self.deadline - time.monotonic(), READ_TIMEOUT_S)
        rewritten = _rewritten(self.endpoints, one.topic, account.of_topic(one.topic_id), log_after, left_s)
        waits = _why_behind(self.endpoints, one.topic, self.group_id, account, one.topic_id, one.log)
        return log_after, [*known, *rewritten], waits


def _counts(found: Snapshot, one: TopicLog) -> TopicCounts:
    now = found.account.of_topic(one.topic_id)
    return TopicCounts(one.topic, _kafka_records(now, one.log), **asdict(summed(now.values())))


def _why_behind(
    endpoints: Endpoints, topic: str, group_id: str | None, account: Account, topic_id: str, log: Log
) -> Reasons:
    """Asks why the ledger has not reached the end. If it has, nobody is asked."""
    now = account.of_topic(topic_id)
    left = [number for number, records in balance.lag(account, topic_id, log).items() if records]
    if not left:
        return Reasons()
    known = group_id or next((row.group_id for row in now.values()), "")
    positions = {number: now[number].next_offset if number in now else log[number][0] for number in left}

    def read(reader: Connection) -> tuple[str, Pause]:
        return identity(reader), read_pause(reader)

    ledger_id, pause = _reading(endpoints, "read the pause", read).within(READ_AT_LEAST_S)
    return why_records_wait(endpoints, Question(topic, known, ledger_id, positions), pause)


def _unconfirmed(reader: Connection) -> list[losses.Loss]:
    return losses.listed(reader, unconfirmed_only=True)


def _rewritten(endpoints: Endpoints, topic: str, now: Now, log_after: Log, timeout_s: float) -> list[str]:
    """Returns one sentence for each partition whose log in Kafka differs from what was stored."""
    places = {n: Place(row.next_offset, row.generation, row.marks) for n, row in now.items() if n in log_after}
    if not places:
        return []
    group_id = next(iter(now.values())).group_id
    found = compare_all(lambda: LogReader(endpoints, topic, group_id), places, log_after, timeout_s, whole_s=timeout_s)
    return [
        f"partition {number}: Kafka no longer has the records that are stored here, from offset "
        f"{each.agreed[-1].offset + 1 if each.agreed else log_after[number][0]} on: its log was rewritten. A running "
        "consumer reads it again by itself"
        for number, each in sorted(found.items())
        if not each.same and not each.hidden
    ]


def compare(
    found: Snapshot,
    topic_id: str,
    log: Log,
    log_after: Log,
    of_the_log: Sequence[str] = (),
    waits: Reasons = UNKNOWN,
) -> Verification:
    """Compares a snapshot with the log. Pure.

    Args:
        found: tables and ledger.
        topic_id: the topic as it is now.
        log: (log start, end) by kafka_partition, taken before the snapshot.
        log_after: the same, taken after it.
        of_the_log: what else is wrong with the log.
        waits: why the ledger has not reached the end, if it has not.
    """
    now = found.account.of_topic(topic_id)
    problems = [*of_topic(found, topic_id, log, log_after, of_the_log, waits), *balance.tables(found)]
    return Verification(
        ok=not problems,
        kafka_records=_kafka_records(now, log),
        **asdict(summed(now.values())),
        rows=found.counted.rows,
        problems=problems,
    )


def of_topic(
    found: Snapshot, topic_id: str, log: Log, log_after: Log, of_the_log: Sequence[str] = (), waits: Reasons = UNKNOWN
) -> list[str]:
    """Does what `compare` does for one topic, without the tables. Pure."""
    now = found.account.of_topic(topic_id)
    return [
        *balance.behind(found.account, topic_id, log, waits.of_partition),
        *waits.of_all,
        *balance.beyond(now, log_after),
        *balance.holes(hole for hole in found.open_holes if hole.topic_id == topic_id),
        *of_the_log,
    ]


@dataclass(frozen=True, slots=True)
class Awaited:
    """The logs' ends that the ledger must reach, until when, and whom to report progress to."""

    logs: Sequence[TopicLog]
    deadline: float
    on_wait: Callable[[int], None] | None

    def wait(self, connection: Connection) -> None:
        """Looks until the ledger has reached the ends, or the deadline has come."""
        while left := self._left(read_account(connection)):
            if self.on_wait is not None:
                self.on_wait(left)
            if time.monotonic() >= self.deadline:
                return
            time.sleep(POLL_S)

    def _left(self, account: Account) -> int:
        return sum(sum(balance.lag(account, one.topic_id, one.log).values()) for one in self.logs)


def _reading(endpoints: Endpoints, doing: str, read: Callable[[Connection], T]) -> Reading[T]:
    dsn = reader_dsn(endpoints)
    return Reading(dsn, endpoints.postgres_dsn or dsn, "rtp-verify", doing, read)


def _kafka_records(now: Now, log: Log) -> int:
    """A stream that runs on puts the ledger past the end that was taken: those records count too."""
    return sum(
        max(end, now[number].next_offset) - now[number].first_offset if number in now else end - start
        for number, (start, end) in log.items()
    )
