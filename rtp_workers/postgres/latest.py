"""The rows and dead letters that arrived last, read at a bounded cost however large the tables are.

PostgreSQL itself writes the rows as JSON. So exact numbers stay exact, and Python does not touch the values.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rtp_workers.errors import TransientError
from rtp_workers.postgres.connection import Connection, Cursor, translated
from rtp_workers.record.transaction import COPY_COLUMNS

# The end of the table that is always read: 8 MB, some 30,000 rows, a few milliseconds.
TAIL_BLOCKS = 1_024
RECENT = "2 seconds"
PREVIEW_CHARACTERS = 500

_UTC = """to_char({0} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as {0}"""
_FORMS = {"occurred_at": _UTC.format("occurred_at"), "amount": "amount::text as amount"}
_SHOWN = ", ".join(_FORMS.get(name, name) for name in COPY_COLUMNS) + ", " + _UTC.format("ingested_at")
_ROWS = f"""
select ingested_at, kafka_partition, kafka_offset, transaction_id,
       row_to_json((select shown from (select {_SHOWN}) as shown))::text
from transactions where {{where}} order by ingested_at desc, kafka_partition, kafka_offset desc limit %(limit)s
"""  # noqa: S608 - our own column names
_TAIL = _ROWS.format(where="ctid >= %(first)s::tid")
_RECENT = _ROWS.format(where=f"ingested_at > %(last)s - interval '{RECENT}'")
_SIZES = """
select pg_relation_size('transactions') / current_setting('block_size')::bigint,
       (select max(updated_at) from ingest_ledger)
"""
_LETTERS = f"""
select json_build_object(
    'id', concat_ws(':', topic_id, kafka_partition, kafka_offset, nullif(generation, 0)), 'topic', topic,
    'kafka_partition', kafka_partition, 'kafka_offset', kafka_offset, 'reason', reason, 'detail', detail,
    'first_seen_at', first_seen_at, 'replayed_at', replayed_at, 'value_bytes', length(value))::text,
    substring(value from 1 for {4 * PREVIEW_CHARACTERS})
from dead_letters order by first_seen_at desc, kafka_offset desc limit %s
"""  # noqa: S608 - a number of ours

Row = tuple[datetime, int, int, str, str]


@dataclass(frozen=True, slots=True)
class LetterPreview:
    """A dead letter as JSON text without its value, and the beginning of the value (None: it was null)."""

    fields: str
    value: bytes | None


def latest_rows(connection: Connection, limit: int) -> list[str]:
    """Returns the rows stored last, newest first, each as the text of a JSON object.

    Columns are those of the record, its provenance and ``ingested_at``; times in UTC, ``amount`` as text.

    It reads the end of the table. The last write may be elsewhere, in space that a purge or a rolled-back batch has
    left. Then it also looks up the rows of the two seconds before the last write. If that takes too long, it returns
    what the end of the table has.

    Args:
        connection: in autocommit mode, with a short statement_timeout.
        limit: rows at most.
    """
    with translated("read the latest rows"), connection.cursor() as cursor:
        cursor.execute(_SIZES)
        blocks, last = cursor.fetchall()[0]
        cursor.execute(_TAIL, {"first": f"({max(0, blocks - TAIL_BLOCKS)},0)", "limit": limit})
        rows: list[Row] = cursor.fetchall()
    if blocks > TAIL_BLOCKS and last is not None and not _holds_the_last(rows, limit, last):
        rows = _merged(rows, _recent(connection, last, limit))[:limit]
    return [row[4] for row in rows]


def newest_letters(connection: Connection, limit: int) -> list[LetterPreview]:
    """Returns the newest dead letters, newest first. Only the beginning of each value is read.

    `connection` is in autocommit mode.
    """
    with translated("list the dead letters"), connection.cursor() as cursor:
        cursor.execute(_LETTERS, (limit,))
        return [LetterPreview(text, None if value is None else bytes(value)) for text, value in cursor.fetchall()]


def _holds_the_last(rows: list[Row], limit: int, last: datetime) -> bool:
    return len(rows) == limit and (last - rows[0][0]).total_seconds() < 2


def _recent(connection: Connection, last: datetime, limit: int) -> list[Row]:
    try:
        with translated("read the rows before the last write"), connection.cursor() as cursor:
            return _fetch(cursor, last, limit)
    except TransientError:
        return []


def _fetch(cursor: Cursor, last: datetime, limit: int) -> list[Row]:
    cursor.execute(_RECENT, {"last": last, "limit": limit})
    rows: list[Row] = cursor.fetchall()
    return rows


def _merged(first: list[Row], second: list[Row]) -> list[Row]:
    by_id = {row[3]: row for row in (*first, *second)}
    return sorted(by_id.values(), key=lambda row: (-row[0].timestamp(), row[1], -row[2]))
