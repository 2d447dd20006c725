"""The account: what the ledger says, what was purged, and what the tables hold, as of one instant. Read only.

This is the only place that reads them together, except that `piecewise.py` counts a large table in pieces.
`reconcile/balance.py` judges whether they agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from rtp_workers.postgres.batch import Counts
from rtp_workers.postgres.connection import Connection, Cursor, translated
from rtp_workers.postgres.control import Hole
from rtp_workers.record.marks import Mark, from_text

# One statement, so that ledger and purges belong together. An empty ledger gives one row, with a null topic_id.
_ACCOUNT = """
select purged.rows, purged.dead_letters, max(updated_at) over (),
       greatest(0, extract(epoch from now() - max(updated_at) over ()))::float8,
       topic_id, kafka_partition, topic, group_id, first_offset, next_offset, inserted, duplicates, dead_lettered,
       skipped, generation, closed_at is not null, marks
from (select coalesce(sum(purged_rows), 0)::bigint as rows,
             coalesce(sum(purged_dead_letters), 0)::bigint as dead_letters from purges) as purged
left join ingest_ledger on true order by topic, topic_id, kafka_partition, generation
"""
_COUNTS = "select (select count(*) from transactions), (select count(*) from dead_letters)"
# One pass over the table, which finds the range of offsets of each log.
_ROWS = """
select kafka_partition, topic_id, generation, min(kafka_offset), max(kafka_offset), count(*)
from transactions group by kafka_partition, topic_id, generation
"""
# A row is foreign when no ledger row covers the offset it says it came from. This statement costs several times as much
# as the one above, so it is asked only when a range is not covered as a whole. The ledger is read once, before the
# pass: each batch leaves dead versions of the ledger's rows behind, and a search of the ledger for every transaction
# would step over all of them.
_FOREIGN_ROWS = """
with ledger as materialized (
    select topic_id, kafka_partition, generation, first_offset, next_offset from ingest_ledger
)
select count(*) from transactions as stored where not exists (
    select from ledger
    where ledger.kafka_partition = stored.kafka_partition
      and ledger.topic_id = coalesce(stored.topic_id, ledger.topic_id)
      and ledger.generation = coalesce(stored.generation, ledger.generation)
      and stored.kafka_offset >= ledger.first_offset and stored.kafka_offset < ledger.next_offset)
"""
_DEAD_LETTERS = "select topic_id, kafka_partition, count(*) from dead_letters group by topic_id, kafka_partition"
_KEYS = """
select conrelid::regclass::text, conkey = array(
    select attnum from pg_attribute join unnest(%(columns)s::text[]) with ordinality as wanted (name, place)
        on attrelid = conrelid and attname = name order by place) and indisvalid and indisready
from pg_constraint join pg_index on indexrelid = conindid
where contype = 'p' and conrelid = to_regclass(%(table)s)
"""
_HOLES = """
select topic_id, kafka_partition, generation, from_offset, to_offset from log_holes where counted_at is null
order by topic_id, kafka_partition, generation, from_offset
"""
_TABLE_BYTES = "select pg_relation_size('transactions') + pg_relation_size('dead_letters')"

PRIMARY_KEYS: dict[str, list[str]] = {
    "transactions": ["transaction_id"],
    "ingest_ledger": ["topic_id", "kafka_partition", "generation"],
    "dead_letters": ["topic_id", "kafka_partition", "generation", "kafka_offset"],
}


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """The ledger's row for one generation of a partition, as stored.

    Attributes:
        closed: True if the generation is history: Kafka no longer holds its log.
        marks_text: fingerprints of some of its records, as `record/marks.py` writes them.
    """

    topic_id: str
    kafka_partition: int
    topic: str
    group_id: str
    first_offset: int
    next_offset: int
    inserted: int
    duplicates: int
    dead_lettered: int
    skipped: int
    generation: int = 0
    closed: bool = False
    marks_text: str | None = None

    @property
    def offsets(self) -> int:
        """How many offsets the row stands for."""
        return self.next_offset - self.first_offset

    @property
    def accounted(self) -> int:
        """How many offsets the counters explain."""
        return self.inserted + self.duplicates + self.dead_lettered + self.skipped

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The fingerprints, by offset."""
        return from_text(self.marks_text)


@dataclass(frozen=True, slots=True)
class Account:
    """The whole ledger and all purges.

    Attributes:
        ledger: every row, by topic, topic_id, kafka_partition and generation; history of deleted topics included.
        purged_rows: how many rows `rtp purge` has deleted so far.
        purged_dead_letters: how many dead letters it has deleted so far.
        updated_at: when the ledger last moved; None before the first batch.
        quiet_s: how long ago that was by PostgreSQL's clock; None before the first batch.
    """

    ledger: list[LedgerRow]
    purged_rows: int = 0
    purged_dead_letters: int = 0
    updated_at: datetime | None = None
    quiet_s: float | None = None

    @property
    def stored_rows(self) -> int:
        """How many rows `transactions` must hold."""
        return summed(self.ledger).inserted - self.purged_rows

    @property
    def stored_dead_letters(self) -> int:
        """How many rows `dead_letters` must hold."""
        return summed(self.ledger).dead_lettered - self.purged_dead_letters

    def of_topic(self, topic_id: str | None) -> dict[int, LedgerRow]:
        """Returns the rows that follow this topic's log as it is now, by kafka_partition."""
        return {row.kafka_partition: row for row in self.ledger if row.topic_id == topic_id and not row.closed}


@dataclass(frozen=True, slots=True)
class Counted:
    """The account, and how many rows the tables hold."""

    account: Account
    rows: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Stored:
    """The rows that came from one log. Rows from before topic ids were stored have none, and no generation."""

    kafka_partition: int
    topic_id: str | None
    generation: int | None
    first_offset: int
    last_offset: int
    rows: int

    def is_covered_by(self, row: LedgerRow) -> bool:
        """Tells whether this one ledger row explains every offset."""
        return (
            row.kafka_partition == self.kafka_partition
            and self.topic_id in (row.topic_id, None)
            and self.generation in (row.generation, None)
            and row.first_offset <= self.first_offset
            and self.last_offset < row.next_offset
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The account, and what the tables hold by where it came from.

    Attributes:
        rows: stored transactions by kafka_partition, whatever topic they came from.
        foreign_rows: rows whose provenance no ledger row covers.
        dead_letters: stored ones by (topic_id, kafka_partition).
        broken_keys: tables whose primary key is missing, invalid or on other columns.
        open_holes: holes in the log that are not counted yet.
    """

    account: Account
    rows: dict[int, int]
    foreign_rows: int
    dead_letters: dict[tuple[str, int], int]
    broken_keys: list[str]
    open_holes: list[Hole]

    @property
    def counted(self) -> Counted:
        """The same figures as sums."""
        return Counted(self.account, sum(self.rows.values()), sum(self.dead_letters.values()))


def summed(rows: Iterable[LedgerRow]) -> Counts:
    """Returns the sums of the four counters. Pure."""
    sums = Counts()
    for row in rows:
        sums.inserted += row.inserted
        sums.duplicates += row.duplicates
        sums.dead_lettered += row.dead_lettered
        sums.skipped += row.skipped
    return sums


def read_account(connection: Connection) -> Account:
    """Reads the ledger and the purges, but no table of records. `connection` is in autocommit mode."""
    with translated("read the ledger"), connection.cursor() as cursor:
        cursor.execute(_ACCOUNT)
        found = cursor.fetchall()
    purged_rows, purged_dead_letters, updated_at, quiet_s = found[0][:4]
    ledger = [LedgerRow(*row[4:]) for row in found if row[4] is not None]
    return Account(ledger, purged_rows, purged_dead_letters, updated_at, quiet_s)


def count(connection: Connection) -> Counted:
    """Counts both tables. The count of `transactions` needs only the primary key's index.

    Args:
        connection: any role that may select, in autocommit mode.

    Raises:
        TransientError: the server is away, or too slow for its statement timeout.
        AttentionError: a table is missing.
    """
    with translated("count tables and ledger"), one_instant(connection) as cursor:
        account = read_account(connection)
        cursor.execute(_COUNTS)
        return Counted(account, *cursor.fetchall()[0])


def snapshot(connection: Connection, timeout_s: float = 0) -> Snapshot:
    """Counts both tables by where each row came from. Scans `transactions` once.

    Args:
        connection: any role that may select, in autocommit mode.
        timeout_s: the limit for each statement, in place of the session's own; 0 for none.

    Raises:
        TransientError: the server is away.
        AttentionError: a table is missing.
    """
    with translated("read tables and ledger"), one_instant(connection) as cursor:
        cursor.execute("select set_config('statement_timeout', %s, true)", (str(int(timeout_s * 1000)),))
        account = read_account(connection)
        cursor.execute(_ROWS)
        stored = [Stored(*row) for row in cursor.fetchall()]
        cursor.execute(_DEAD_LETTERS)
        dead_letters = {(topic_id, number): letters for topic_id, number, letters in cursor.fetchall()}
        cursor.execute(_HOLES)
        holes = [Hole(*row) for row in cursor.fetchall()]
        return Snapshot(
            account=account,
            rows=_by_partition(stored),
            foreign_rows=_foreign_rows(cursor, stored, account.ledger),
            dead_letters=dead_letters,
            broken_keys=broken_keys(connection),
            open_holes=holes,
        )


def _by_partition(stored: Iterable[Stored]) -> dict[int, int]:
    rows: Counter[int] = Counter()
    for log in stored:
        rows[log.kafka_partition] += log.rows
    return dict(rows)


def _foreign_rows(cursor: Cursor, stored: Iterable[Stored], ledger: Sequence[LedgerRow]) -> int:
    if all(any(log.is_covered_by(row) for row in ledger) for log in stored):
        return 0
    cursor.execute(_FOREIGN_ROWS)
    return int(cursor.fetchall()[0][0])


def broken_keys(connection: Connection) -> list[str]:
    """Returns the tables whose primary key is missing, invalid or on other columns. Reads only the catalog."""
    with translated("look at the primary keys"), connection.cursor() as cursor:
        return [table for table, columns in PRIMARY_KEYS.items() if not _key_holds(cursor, table, columns)]


def table_bytes(connection: Connection) -> int:
    """Returns how many bytes a full count would read. `connection` is in autocommit mode."""
    with translated("read the size of the tables"), connection.cursor() as cursor:
        cursor.execute(_TABLE_BYTES)
        return int(cursor.fetchall()[0][0])


@contextmanager
def one_instant(connection: Connection) -> Iterator[Cursor]:
    """Makes every statement inside the block, on this connection, see the same state of the database."""
    with connection.cursor() as cursor:
        cursor.execute("begin isolation level repeatable read, read only")
        try:
            yield cursor
        finally:
            if not connection.closed:
                cursor.execute("rollback")


def _key_holds(cursor: Cursor, table: str, columns: list[str]) -> bool:
    cursor.execute(_KEYS, {"table": f"public.{table}", "columns": columns})
    return [holds for _, holds in cursor.fetchall()] == [True]
