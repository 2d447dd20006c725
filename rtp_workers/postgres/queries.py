"""What the tables and the ledger say: read only, for reconciliation, status and the pages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rtp_workers.postgres.connection import Connection, Cursor, translated
from rtp_workers.postgres.control import Hole
from rtp_workers.record.marks import Mark, from_text

RATE_WINDOW_S = 10

_LEDGER = """
select topic_id, kafka_partition, topic, group_id, first_offset, next_offset, inserted, duplicates,
       dead_lettered, skipped, generation, closed_at is not null, marks
from ingest_ledger order by topic, topic_id, kafka_partition, generation
"""
# One pass over the table. A row is foreign when no ledger row covers the offset it says it came from. The ledger is
# read once, ahead: each batch leaves dead row versions there, and a search for each transaction would step over them.
_ROWS = """
with ledger as materialized (
    select topic_id, kafka_partition, generation, first_offset, next_offset from ingest_ledger
)
select kafka_partition, count(*), count(*) filter (where not exists (
    select from ledger
    where ledger.kafka_partition = stored.kafka_partition
      and ledger.topic_id = coalesce(stored.topic_id, ledger.topic_id)
      and ledger.generation = coalesce(stored.generation, ledger.generation)
      and stored.kafka_offset >= ledger.first_offset and stored.kafka_offset < ledger.next_offset))
from transactions as stored group by kafka_partition
"""
_DEAD_LETTERS = "select topic_id, kafka_partition, count(*) from dead_letters group by topic_id, kafka_partition"
_PURGED = "select coalesce(sum(purged_rows), 0)::bigint, coalesce(sum(purged_dead_letters), 0)::bigint from purges"
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
_TOTALS = """
select (select coalesce(sum(inserted), 0) from ingest_ledger)::bigint
       - (select coalesce(sum(purged_rows), 0) from purges)::bigint,
       (select coalesce(sum(dead_lettered), 0) from ingest_ledger)::bigint
       - (select coalesce(sum(purged_dead_letters), 0) from purges)::bigint,
       (select count(*) from transactions where ingested_at > now() - make_interval(secs => %(window_s)s)),
       (select max(updated_at) from ingest_ledger),
       (select paused from ingest_control), (select paused_reason from ingest_control)
"""

PRIMARY_KEYS: dict[str, list[str]] = {
    "transactions": ["transaction_id"],
    "ingest_ledger": ["topic_id", "kafka_partition", "generation"],
    "dead_letters": ["topic_id", "kafka_partition", "generation", "kafka_offset"],
}


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """The account of one generation of a partition, as stored.

    Attributes:
        closed: the generation is history: its log is no longer what Kafka holds.
        marks: fingerprints of some of its records.
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
    marks: tuple[Mark, ...] = ()

    @property
    def accounted(self) -> int:
        """How many offsets the counters explain."""
        return self.inserted + self.duplicates + self.dead_lettered + self.skipped


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that reconciliation compares, of one instant.

    Attributes:
        ledger: every row, history of deleted topics included.
        rows: stored transactions by kafka_partition, whatever topic they came from.
        foreign_rows: rows whose provenance no ledger row covers.
        dead_letters: stored ones by (topic_id, kafka_partition).
        purged_rows: deleted by `rtp purge` so far.
        purged_dead_letters: the same of dead letters.
        broken_keys: tables whose primary key is missing, invalid or on other columns.
        open_holes: holes in the log that are not counted yet.
    """

    ledger: list[LedgerRow]
    rows: dict[int, int]
    foreign_rows: int
    dead_letters: dict[tuple[str, int], int]
    purged_rows: int
    purged_dead_letters: int
    broken_keys: list[str]
    open_holes: list[Hole]


@dataclass(frozen=True, slots=True)
class Totals:
    """Cheap figures, from the ledger: no table is scanned.

    Attributes:
        rows: transactions stored.
        dead_letters: dead letters stored.
        rows_per_s: arrived lately, averaged over `RATE_WINDOW_S` seconds.
        last_write_at: when the ledger last moved, ISO 8601 UTC, or None.
        paused: the platform-wide pause.
        paused_reason: what was given for it.
    """

    rows: int
    dead_letters: int
    rows_per_s: float
    last_write_at: str | None
    paused: bool
    paused_reason: str | None


def snapshot(connection: Connection, timeout_s: float = 0) -> Snapshot:
    """Reads the tables and the ledger as of one instant; scans `transactions` once.

    Args:
        connection: any role that may select; no transaction open. It is left without one.
        timeout_s: for each statement, whatever the role's own setting is; 0 for none.

    Raises:
        TransientError: the server is away. AttentionError: a table is missing.
    """
    connection.rollback()
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
    try:
        with translated("read tables and ledger"), connection.cursor() as cursor:
            cursor.execute("select set_config('statement_timeout', %s, true)", (str(int(timeout_s * 1000)),))
            return _read(cursor)
    finally:
        if not connection.closed:
            connection.rollback()


def ledger_rows(connection: Connection) -> list[LedgerRow]:
    """Returns every ledger row, by topic, topic_id, kafka_partition, generation. `connection` is in autocommit mode."""
    with translated("read the ledger"), connection.cursor() as cursor:
        return _ledger(cursor)


def open_rows(rows: Iterable[LedgerRow], topic_id: str | None) -> dict[int, LedgerRow]:
    """Returns the rows that follow this topic's log as it is now, by kafka_partition. Pure."""
    return {row.kafka_partition: row for row in rows if row.topic_id == topic_id and not row.closed}


def totals(connection: Connection) -> Totals:
    """Returns the cheap figures. `connection` is in autocommit mode."""
    with translated("read the totals"), connection.cursor() as cursor:
        cursor.execute(_TOTALS, {"window_s": RATE_WINDOW_S})
        rows, dead_letters, recent, last_write_at, paused, reason = cursor.fetchall()[0]
    last = None if last_write_at is None else last_write_at.isoformat()
    return Totals(rows, dead_letters, recent / RATE_WINDOW_S, last, bool(paused), reason)


def _read(cursor: Cursor) -> Snapshot:
    ledger = _ledger(cursor)
    cursor.execute(_ROWS)
    counted = cursor.fetchall()
    cursor.execute(_DEAD_LETTERS)
    dead_letters = {(topic_id, number): count for topic_id, number, count in cursor.fetchall()}
    cursor.execute(_PURGED)
    purged_rows, purged_dead_letters = cursor.fetchall()[0]
    cursor.execute(_HOLES)
    holes = [Hole(*row) for row in cursor.fetchall()]
    return Snapshot(
        ledger=ledger,
        rows={number: count for number, count, _ in counted},
        foreign_rows=sum(foreign for _, _, foreign in counted),
        dead_letters=dead_letters,
        purged_rows=purged_rows,
        purged_dead_letters=purged_dead_letters,
        broken_keys=[table for table, columns in PRIMARY_KEYS.items() if not key_holds(cursor, table, columns)],
        open_holes=holes,
    )


def _ledger(cursor: Cursor) -> list[LedgerRow]:
    cursor.execute(_LEDGER)
    return [replace(LedgerRow(*row[:-1]), marks=from_text(row[-1])) for row in cursor.fetchall()]


def key_holds(cursor: Cursor, table: str, columns: list[str]) -> bool:
    """Tells whether the table's primary key is there, valid, and on these columns: a look into the catalog."""
    cursor.execute(_KEYS, {"table": f"public.{table}", "columns": columns})
    return [holds for _, holds in cursor.fetchall()] == [True]
