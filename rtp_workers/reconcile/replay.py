"""Replays dead letters: each becomes a new record at a new offset, and is counted there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rtp_workers.endpoints import Endpoints
from rtp_workers.errors import RecordError, RtpError, TransientError
from rtp_workers.kafka.record_producer import Headers, OnAck, RecordProducer
from rtp_workers.postgres import dead_letters
from rtp_workers.postgres.connection import Connection, connect
from rtp_workers.postgres.dead_letters import DeadLetterId, Filter, StoredDeadLetter

REPLAY_HEADER = "replay_of"
PAGE_SIZE = 500
ACK_TIMEOUT_S = 30.0

Repair = Callable[[StoredDeadLetter], bytes | None]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record on its way to our own topic, without the header that says which dead letter it was."""

    value: bytes | None
    key: bytes | None
    headers: Headers


# Turns a letter of a mapped topic and its value into a record of our own; raises RecordError if it cannot.
Remake = Callable[[StoredDeadLetter, bytes | None], Outgoing]


@dataclass(slots=True)
class ReplayReport:
    """What a replay did.

    Attributes:
        replayed: acknowledged by Kafka and marked.
        failed: id -> why Kafka refused it; it stays as it was.
        unknown: ids that belong to no dead letter.
    """

    replayed: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def replay(
    endpoints: Endpoints,
    topic: str,
    wanted: Sequence[DeadLetterId] | Filter,
    repair: Repair | None = None,
    remake: Remake | None = None,
) -> ReplayReport:
    """Sends dead letters again with their original key and headers and the header ``replay_of``, then marks them.

    A letter of a mapped topic is never sent back there: `remake` turns it into a record of our own topic, or it fails.

    After a crash between Kafka's acknowledgement and the mark they are sent twice. The second counts as a duplicate.

    Args:
        endpoints: Kafka, and PostgreSQL as rtp_ingest.
        topic: our own topic, which receives them.
        wanted: ids, whether replayed before or not; or a filter, most often with ``replayed=False``.
        repair: returns the value to send instead of the received one. If it raises, the replay ends.
        remake: converts letters of mapped topics.

    Raises:
        TransientError: Kafka did not acknowledge all in `ACK_TIMEOUT_S` seconds (what it did acknowledge is marked), a
            server is away, or another replay runs.
    """
    report = ReplayReport()
    outgoing = _Outbox(topic, repair, remake).outgoing
    connection = connect(endpoints.need("postgres_ingest_dsn"), "rtp-replay", autocommit=True)
    try:
        with dead_letters.replay_locked(connection):
            producer = RecordProducer(endpoints, topic, "rtp-replay", delivery_timeout_s=ACK_TIMEOUT_S)
            try:
                for page in _pages(connection, wanted, report):
                    _send_page(connection, producer, page, outgoing, report)
            finally:
                producer.close()
    finally:
        connection.close()
    return report


def replay_headers(letter: StoredDeadLetter) -> Headers:
    """Returns the original headers, with a ``replay_of`` that names this dead letter instead of any earlier one."""
    kept: Headers = [header for header in letter.headers if header[0] != REPLAY_HEADER]
    return [*kept, (REPLAY_HEADER, str(letter.id).encode())]


def _pages(
    connection: Connection, wanted: Sequence[DeadLetterId] | Filter, report: ReplayReport
) -> Iterator[list[StoredDeadLetter]]:
    if isinstance(wanted, Filter):
        yield from dead_letters.pages(connection, wanted, PAGE_SIZE)
        return
    for start in range(0, len(wanted), PAGE_SIZE):
        ids = wanted[start : start + PAGE_SIZE]
        found = dead_letters.find(connection, ids)
        known = {letter.id for letter in found}
        report.unknown += [str(i) for i in ids if i not in known]
        yield found


def _send_page(
    connection: Connection,
    producer: RecordProducer,
    page: Iterable[StoredDeadLetter],
    outgoing: Callable[[StoredDeadLetter], Outgoing],
    report: ReplayReport,
) -> None:
    """Sends a page and marks what Kafka has acknowledged, even if the rest fails."""
    acknowledged: list[DeadLetterId] = []
    try:
        for letter in page:
            try:
                record = outgoing(letter)
            except RecordError as error:
                report.failed[str(letter.id)] = error.detail
                continue
            _send(producer, record, _noting(letter.id, acknowledged, report))
        producer.flush(ACK_TIMEOUT_S)
    finally:
        dead_letters.mark_replayed(connection, acknowledged)
        report.replayed += len(acknowledged)


@dataclass(frozen=True, slots=True)
class _Outbox:
    """Decides what is sent for a letter."""

    topic: str
    repair: Repair | None
    remake: Remake | None

    def outgoing(self, letter: StoredDeadLetter) -> Outgoing:
        value = letter.value if self.repair is None else self.repair(letter)
        if letter.topic == self.topic:
            return Outgoing(value, letter.key, replay_headers(letter))
        if self.remake is None:
            raise RecordError("not_ours", f"it is of topic {letter.topic}; replay it with `rtp dead-letters replay`")
        made = self.remake(letter, value)
        return Outgoing(made.value, made.key, [*made.headers, (REPLAY_HEADER, str(letter.id).encode())])


def _noting(letter_id: DeadLetterId, acknowledged: list[DeadLetterId], report: ReplayReport) -> OnAck:
    def note(error: RtpError | None, kafka_partition: int, kafka_offset: int) -> None:
        if error is None:
            acknowledged.append(letter_id)
        else:
            report.failed[str(letter_id)] = str(error)

    return note


def _send(producer: RecordProducer, record: Outgoing, on_ack: OnAck) -> None:
    """Queues one record; waits up to `ACK_TIMEOUT_S` for room. If Kafka refuses it, `on_ack` is called."""
    deadline = time.monotonic() + ACK_TIMEOUT_S
    while True:
        try:
            producer.send(record.value, record.key, record.headers, on_ack)
            return
        except RecordError as error:
            on_ack(error, -1, -1)
            return
        except TransientError as error:
            if time.monotonic() > deadline:
                raise
            producer.poll(error.retry_after_s or 0.1)
