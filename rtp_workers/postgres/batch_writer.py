"""Writes a batch as rows, exactly once, in one transaction.

The fast path is a COPY straight into the table. A batch with a repeated id goes through a staging table. A batch with
a value that PostgreSQL refuses is halved until only the bad records are left. In each case the dead letters and the
ledger's compare-and-set belong to the same transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from typing import Protocol

from psycopg2.extras import execute_values

from rtp_workers.errors import RecordError, RtpError, TransientError
from rtp_workers.failpoints import Failpoint
from rtp_workers.postgres import ledger, load_outcomes, staging
from rtp_workers.postgres.batch import Batch, Counts, DeadLetter, KafkaRecord
from rtp_workers.postgres.blocking import WRITER_NAME
from rtp_workers.postgres.connection import (
    ConflictError,
    Connection,
    ConnectionLostError,
    Cursor,
    MemoryRefusedError,
    break_off,
    connect,
    translated,
)
from rtp_workers.postgres.letter_rows import headers_json, pages
from rtp_workers.postgres.load_outcomes import Ending
from rtp_workers.postgres.recent_batches import CLEAN_BATCHES_BEFORE_FAST, RecentBatches
from rtp_workers.record.codec import decode
from rtp_workers.record.copy_text import NULL, load_text
from rtp_workers.record.transaction import COPY_COLUMNS

COPY_CHUNK_BYTES = 1 << 18
# If this share of a staged batch was already stored, the next batch is looked up before it is inserted.
MOSTLY_REPEATED = 0.5
# So does one bad value. After one, a feed is checked record by record for a while (10 us per record).
SIFTED_BATCHES = 50

_COLUMNS = ", ".join(COPY_COLUMNS)
_COPY = f"copy transactions ({_COLUMNS}) from stdin"
_DEAD_LETTER = """
insert into dead_letters (topic_id, kafka_partition, generation, kafka_offset, topic, key, value, headers, reason,
    detail, load_id, kafka_timestamp) values %s
"""
_KNOWN_LOADS = "select load_id::text from csv_loads where load_id = any(%s::bigint[])"


class BatchWriter:
    """Writes batches over one connection. Only `abort` is thread-safe.

    Args:
        dsn: role rtp_ingest.
        failpoint: tests only.
        recent: what the feed's latest batches were like; shared with the feed's other writer.

    Attributes:
        failpoint: tests only.
        recent: what the feed's latest batches were like.
    """

    def __init__(self, dsn: str, failpoint: Failpoint | None = None, recent: RecentBatches | None = None) -> None:
        self._dsn = dsn
        self.failpoint = failpoint or Failpoint()
        self.recent = recent or RecentBatches()
        self._connection: Connection | None = None
        self._endings: Counter[Ending] = Counter()

    @property
    def backend_pid(self) -> int | None:
        """The server process of the connection, or None without a connection."""
        connection = self._connection
        return connection.info.backend_pid if connection is not None and not connection.closed else None

    def write(self, batch: Batch) -> dict[int, Counts]:
        """Writes a batch and moves the ledger past it, or does neither.

        Returns:
            How its offsets ended, by kafka_partition.

        Raises:
            LedgerMovedError: another consumer was faster; nothing was written.
            TransientError: nothing was written; try the same batch again. If the connection was lost during COMMIT, the
                ledger has been read again: a committed batch returns as usual.
            MemoryRefusedError: the batch is too large for this process or for PostgreSQL; write it in smaller parts.
            AttentionError: the database needs a person; nothing was written.
        """
        try:
            if self.recent.to_sift > 0:
                self.recent.to_sift -= 1
                _sift(batch)
            if self.recent.clean >= CLEAN_BATCHES_BEFORE_FAST:
                counts = self._try_fast(batch)
                if counts is not None:
                    return counts
            return self._in_transaction(batch, self._land_staged)
        except ConnectionLostError:
            self.close()
            raise
        except MemoryError as error:
            self.close()
            raise MemoryRefusedError("write a batch: this process has no memory left for it") from error

    def settled(self, batch: Batch) -> bool:
        """Tells by the ledger whether `batch` was committed, after a COMMIT without an answer.

        Raises:
            TransientError: the ledger cannot be read yet.
            LedgerMovedError: the ledger is elsewhere: another consumer has written.
        """
        connection = self._open()
        with translated("settle a COMMIT from the ledger"), connection.cursor() as cursor:
            stored = ledger.places(cursor, batch.topic_id, list(batch.spans))
            connection.rollback()
        spans = batch.spans.items()
        at = {partition: place[:2] for partition, place in stored.items()}
        if all(at.get(partition) == (span.start_offset, span.generation) for partition, span in spans):
            return False
        if all(at.get(partition) == (span.next_offset, span.generation) for partition, span in spans):
            return True
        raise ledger.LedgerMovedError("the ledger is neither before nor after the batch: another consumer has written")

    def abort(self) -> None:
        """Breaks the connection from another thread. A write that hangs then ends with ConnectionLostError."""
        connection = self._connection
        if connection is not None:
            break_off(connection)

    def close(self) -> None:
        """Closes the connection; the next write opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            # Set before the session is prepared, so that `abort` can reach it: a lock may hold up the preparation, too.
            self._connection = connect(self._dsn, WRITER_NAME, autocommit=True)
            try:
                self._prepare(self._connection)
            except RtpError:
                self.close()
                raise
        return self._connection

    def _prepare(self, connection: Connection) -> None:
        with translated("prepare the staging table"), connection.cursor() as cursor:
            cursor.execute(staging.PREPARE)
            connection.autocommit = False

    def _try_fast(self, batch: Batch) -> dict[int, Counts] | None:
        """Returns None if the batch needs staging: it has a repeated id, or a value that only PostgreSQL refuses."""
        try:
            return self._in_transaction(batch, self._copy_straight)
        except ConflictError:
            self.recent.clean = 0
            return None
        except RecordError:
            self.recent.to_sift = SIFTED_BATCHES
            _sift(batch)
        try:
            return self._in_transaction(batch, self._copy_straight)
        except (ConflictError, RecordError):
            self.recent.clean = 0
            return None

    def _in_transaction(self, batch: Batch, land: Land) -> dict[int, Counts]:
        connection = self._open()
        counts = {partition: Counts(skipped=span.skipped) for partition, span in batch.spans.items()}
        self._endings = Counter()
        with _rolled_back_on_error(connection), translated("write a batch"), connection.cursor() as cursor:
            self.failpoint.reach("before_copy")
            self._forget_unknown_loads(cursor, batch)
            dead_letters = batch.dead_letters + land(cursor, batch, counts)
            self.failpoint.reach("after_copy")
            self._count_dead_letters(batch, dead_letters, counts)
            _must_add_up(batch, counts)
            batch.await_turn(cursor)
            batch.confirm()
            load_outcomes.add(cursor, self._endings)
            ledger.move(cursor, batch.topic_id, batch.spans, counts)
            # After the ledger: if somebody else has stored this batch, the ledger says so, not a repeated primary key.
            _insert_dead_letters(cursor, batch, dead_letters)
            self.failpoint.reach("before_commit")
            connection.commit()
            self.failpoint.reach("after_commit")
        return counts

    def _forget_unknown_loads(self, cursor: Cursor, batch: Batch) -> None:
        """Sets ``load_id`` to null if the record names a load that this database does not know."""
        new = batch.load_ids - self.recent.known_loads
        if not new:
            return
        cursor.execute(_KNOWN_LOADS, (list(new),))
        self.recent.known_loads.update(load_id for (load_id,) in cursor.fetchall())
        unknown = new - self.recent.known_loads
        if unknown:
            batch.load_ids -= unknown
            batch.lines = [_without_load(line) if line.rpartition("\t")[2] in unknown else line for line in batch.lines]

    def _copy_straight(self, cursor: Cursor, batch: Batch, counts: dict[int, Counts]) -> list[DeadLetter]:
        if batch.lines:
            self._copy(cursor, _COPY, batch.lines)
        for record in batch.records:
            counts[record.partition()].inserted += 1
        if batch.load_ids:
            self._endings.update(_inserted_by_load(batch))
        self.recent.fast += 1
        return []

    def _land_staged(self, cursor: Cursor, batch: Batch, counts: dict[int, Counts]) -> list[DeadLetter]:
        refused: list[DeadLetter] = []
        if batch.lines:
            self._land(cursor, batch.lines, batch.records, counts, refused)
        repeated = len(refused) + sum(count.duplicates for count in counts.values())
        self.recent.clean = 0 if repeated else self.recent.clean + 1
        self.recent.look_up_first = repeated > MOSTLY_REPEATED * len(batch.lines)
        self.recent.staged += 1
        return refused

    def _land(
        self,
        cursor: Cursor,
        lines: Sequence[str],
        records: Sequence[KafkaRecord],
        counts: dict[int, Counts],
        refused: list[DeadLetter],
    ) -> None:
        """Writes a run of lines. If PostgreSQL refuses a value, the run is halved, down to the records at fault.

        The staging tables are empty before; the end of the transaction empties them, too.
        """
        cursor.execute("savepoint run")
        repeated: list[staging.Repeated] = []
        try:
            with translated("write a batch"):
                self._copy(cursor, staging.COPY, lines)
                if self.recent.look_up_first:
                    cursor.execute(staging.TAKE_OUT_STORED)
                    repeated = cursor.fetchall()
                cursor.execute(staging.INSERT)
        except RecordError as error:
            cursor.execute("rollback to savepoint run; release savepoint run")
            self.recent.to_sift = SIFTED_BATCHES
            if len(lines) == 1:
                refused.append(DeadLetter(records[0], error.reason, error.detail))
                return
            middle = len(lines) // 2
            self._land(cursor, lines[:middle], records[:middle], counts, refused)
            cursor.execute(staging.CLEAR)
            self._land(cursor, lines[middle:], records[middle:], counts, refused)
            return
        cursor.execute("release savepoint run")
        refused += staging.count_landed(cursor, records, repeated, counts, self._endings)

    def _count_dead_letters(self, batch: Batch, dead_letters: Sequence[DeadLetter], counts: dict[int, Counts]) -> None:
        for letter in dead_letters:
            partition = letter.record.partition()
            counts[partition].dead_lettered += 1
            load = _load_id(letter.record, batch) if batch.load_ids else None
            if load is not None:
                self._endings[Ending(int(load), partition, "dead_letter")] += 1

    def _copy(self, cursor: Cursor, statement: str, lines: Sequence[str]) -> None:
        payload = BytesIO(("\n".join(lines) + "\n").encode())
        if self.failpoint.name == "in_copy":
            cursor.copy_expert(statement, _Halting(payload, self.failpoint), size=1024)
        else:
            cursor.copy_expert(statement, payload, size=COPY_CHUNK_BYTES)


class Land(Protocol):
    """Writes a batch's lines into the table. Returns the records in which only PostgreSQL found a fault."""

    def __call__(self, cursor: Cursor, batch: Batch, counts: dict[int, Counts], /) -> list[DeadLetter]: ...


class _Halting(BytesIO):
    """A payload that reaches the failpoint ``in_copy`` between two chunks."""

    def __init__(self, payload: BytesIO, failpoint: Failpoint) -> None:
        super().__init__(payload.getvalue())
        self.failpoint = failpoint

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        self.failpoint.reach("in_copy")
        return chunk


def _sift(batch: Batch) -> None:
    """Moves records that break a rule from the batch's lines to its dead letters, with our own reason."""
    if batch.judged:
        return
    lines, records, batch.lines, batch.records = batch.lines, batch.records, [], []
    for line, record in zip(lines, records, strict=True):
        try:
            decode(record.value())
        except RecordError as error:
            batch.dead_letters.append(DeadLetter(record, error.reason, error.detail))
            continue
        batch.lines.append(line)
        batch.records.append(record)


def _insert_dead_letters(cursor: Cursor, batch: Batch, dead_letters: Sequence[DeadLetter]) -> None:
    rows = [
        (
            batch.topic_id,
            letter.record.partition(),
            batch.spans[letter.record.partition()].generation,
            letter.record.offset(),
            batch.topic,
            letter.record.key(),
            letter.record.value(),
            headers_json(letter.record),
            letter.reason,
            letter.detail,
            _load_id(letter.record, batch),
            _appended_at(letter.record),
        )
        for letter in dead_letters
    ]
    if rows:
        for page in pages(rows):
            execute_values(cursor, _DEAD_LETTER, page, page_size=len(page))


@contextmanager
def _rolled_back_on_error(connection: Connection) -> Iterator[None]:
    done = False
    try:
        yield
        done = True
    finally:
        if not done and not connection.closed:
            with translated("roll a batch back"):
                connection.rollback()


def _inserted_by_load(batch: Batch) -> Counter[Ending]:
    named = Counter(
        (line.rpartition("\t")[2], record.partition()) for line, record in zip(batch.lines, batch.records, strict=True)
    )
    return Counter(
        {
            Ending(int(load), partition, "inserted"): number
            for (load, partition), number in named.items()
            if load != NULL
        }
    )


def _without_load(line: str) -> str:
    return line.rpartition("\t")[0] + "\t" + NULL


def _load_id(record: KafkaRecord, batch: Batch) -> str | None:
    """Returns the load that the record names, if this database knows it."""
    named = next((value for name, value in record.headers() or () if name == "load"), None)
    load = load_text(named)
    return load if load in batch.load_ids else None


def _appended_at(record: KafkaRecord) -> datetime | None:
    """Returns the record's timestamp in Kafka; None if it has none, or one outside the calendar."""
    kind, milliseconds = record.timestamp()
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC) if kind else None
    except (ValueError, OverflowError, OSError):
        return None


def _must_add_up(batch: Batch, counts: dict[int, Counts]) -> None:
    for partition, span in batch.spans.items():
        if counts[partition].total != span.next_offset - span.start_offset:
            raise TransientError(
                f"partition {partition}: {counts[partition].total} of {span.next_offset - span.start_offset} offsets "
                "accounted for (was a stored row purged meanwhile?); the batch is retried"
            )
