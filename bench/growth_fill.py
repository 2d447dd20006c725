"""Fills `transactions` with rows that PostgreSQL makes itself, fast, so that `rtp verify` still agrees.

One session makes the rows, another stores them with ``COPY ... (freeze)``. The indexes are built at the end, in the
same transaction. With ``wal_level = minimal``, none of this is written to the write-ahead log.

Ids are of three kinds:

- generated: they begin with the time (UUIDv7), so the primary key grows at its end;
- derived: the day, then a digest of the row, as ids of CSV rows are (`rtp_workers.mapping.rows.ids`);
- digest: digests only, which come anywhere in the primary key, as ids of earlier releases and foreign ids may be.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing
from datetime import datetime
from typing import Literal

from rtp_workers.postgres.connection import Connection, Cursor, connect

Kind = Literal["generated", "derived", "digest"]
KINDS: tuple[Kind, ...] = ("generated", "derived", "digest")
SETTINGS = {"wal_level": "minimal", "max_wal_senders": "0"}
FILLED = "filledfilledfilledfill"  # the topic id of these rows
PARTITIONS = 6
DAYS = 730  # the rows are spread over the time up to now
# In an index that has grown with random ids, pages are about two thirds full; one that was just built has full ones.
PAGES_FULL_PERCENT = {"generated": 90, "derived": 70, "digest": 70}
IDS = {
    # The first 48 bits are milliseconds, then comes the version; the rest is random.
    "generated": "overlay(overlay(md5(n::text) placing lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') "
    "from 1 for 12) placing '7' from 13 for 1)::uuid::text",
    "derived": "to_char(at at time zone 'UTC', 'YYYYMMDD') || left(md5(n::text), 24)",
    "digest": "md5(n::text)",
}
COLUMNS = (
    "transaction_id, occurred_at, amount, customer_id, merchant, category, currency, payment_method, status, country, "
    "attributes, source, ingested_at, kafka_partition, kafka_offset, topic_id, generation"
)
MADE = """
select {id}, at, (n % 99991)::numeric / 100, 'C' || n % 99991, 'Shop ' || n % 331, 'food', 'EUR', 'card', 'booked',
    'DE', '{{"device": "pos-' || n % 1000 || '"}}', 'live', at, n % {partitions}, n / {partitions}, '{filled}', 0
from generate_series(0, {rows} - 1) as n,
    lateral (select timestamptz '{end}' - interval '{days} days' * (1 - n::float8 / {rows})) as moment (at)
"""
LEDGER = """
insert into ingest_ledger (topic_id, kafka_partition, topic, group_id, first_offset, next_offset, inserted)
select '{filled}', p, '{topic}-filled', 'bench-{topic}', 0, count, count
from generate_series(0, {partitions} - 1) as p,
    lateral (select ({rows} - p + {partitions} - 1) / {partitions}) as c (count)
"""
EMPTY = "truncate transactions, ingest_ledger, dead_letters, purges, csv_loads, csv_files, csv_load_outcomes cascade"
BUFFER_BYTES = 1 << 20


def fill(dsn: str, kind: Kind, rows: int, topic: str) -> float:
    """Replaces all rows by `rows` new ones, with a ledger that explains them; returns the seconds that it took.

    Args:
        dsn: connects as the owner.
        kind: of the ids.
        rows: how many.
        topic: the name that the ledger gives to their topic, but for a suffix.
    """
    started = time.perf_counter()
    with closing(connect(dsn, "rtp-bench")) as connection, connection.cursor() as cursor:
        cursor.execute(EMPTY)
        indexes = _drop_indexes(cursor)
        if _copy(dsn, cursor, _made(kind, rows)) != rows:
            raise RuntimeError("PostgreSQL did not make all rows; its error is above")
        cursor.execute("set local maintenance_work_mem = '1GB'")
        for index in indexes:
            cursor.execute(index)
        full = PAGES_FULL_PERCENT[kind]
        cursor.execute(
            f"alter table transactions add constraint transactions_pkey primary key (transaction_id) "
            f"with (fillfactor = {full})"
        )
        cursor.execute("alter index transactions_pkey reset (fillfactor)")
        if rows:
            cursor.execute(LEDGER.format(topic=topic, filled=FILLED, rows=rows, partitions=PARTITIONS))
        connection.commit()
    with closing(connect(dsn, "rtp-bench", autocommit=True)) as connection, connection.cursor() as cursor:
        cursor.execute("vacuum (analyze) transactions")
    return time.perf_counter() - started


def table_bytes(connection: Connection) -> int:
    """Returns the size of the table and its indexes."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_total_relation_size('transactions')")
        return int(cursor.fetchall()[0][0])


def _made(kind: Kind, rows: int) -> str:
    end = datetime.now().astimezone().isoformat()
    return MADE.format(id=IDS[kind], rows=rows, partitions=PARTITIONS, filled=FILLED, days=DAYS, end=end)


def _drop_indexes(cursor: Cursor) -> list[str]:
    """Drops the indexes; returns the statements that make them again, without the primary key's."""
    cursor.execute(
        "select indexname, indexdef from pg_indexes where tablename = 'transactions' "
        "and schemaname = 'public' and indexname <> 'transactions_pkey'"
    )
    indexes = cursor.fetchall()
    cursor.execute("alter table transactions drop constraint transactions_pkey")
    for name, _ in indexes:
        cursor.execute(f"drop index {name}")
    return [definition for _, definition in indexes]


def _copy(dsn: str, cursor: Cursor, made: str) -> int:
    """Stores what the statement `made` returns; returns how many rows that were. It runs in a session of its own."""
    reading, writing = os.pipe()

    def make() -> None:
        with (
            os.fdopen(writing, "wb", BUFFER_BYTES) as pipe,
            closing(connect(dsn, "rtp-bench")) as source,
            source.cursor() as maker,
        ):
            maker.copy_expert(f"copy ({made}) to stdout", pipe, BUFFER_BYTES)

    thread = threading.Thread(target=make)
    thread.start()
    with os.fdopen(reading, "rb", BUFFER_BYTES) as pipe:
        cursor.copy_expert(f"copy transactions ({COLUMNS}) from stdin with (freeze)", pipe, BUFFER_BYTES)
    thread.join()
    return int(cursor.rowcount)
