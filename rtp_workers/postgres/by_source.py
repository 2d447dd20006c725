"""Rows and amounts by source, for a person to compare with the files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from rtp_workers.postgres.connection import Connection, translated

_BY_SOURCE = """
select source, count(*), sum(amount), count(*) filter (where ingested_at >= %(since)s),
       max(ingested_at) filter (where ingested_at >= %(since)s)
from transactions group by source order by source
"""
# Found by the index on ingested_at, which is when a row's transaction began.
_ARRIVED = """
select case when source like 'csv:%%' then 'csv' when source like 'topic:%%' then 'topic' else source end, count(*)
from transactions where ingested_at > %(since)s and ingested_at <= %(until)s group by 1 order by 1
"""
_NOW = "select clock_timestamp()"


@dataclass(frozen=True, slots=True)
class SourceTotal:
    """The rows of one source.

    Attributes:
        source: ``csv:<file name>``, ``live``, ``api``, ``unknown``.
        rows: all of them.
        amount: sum(amount), exact.
        new_rows: those written since the time that was asked for.
        last_at: when the last of the new rows was written, or None.
    """

    source: str
    rows: int
    amount: Decimal
    new_rows: int
    last_at: datetime | None


def totals_by_source(connection: Connection, since: datetime) -> list[SourceTotal]:
    """Returns one total per source, sorted by name. Scans `transactions` once. Any role that may read."""
    with translated("sum the amounts by source"), connection.cursor() as cursor:
        cursor.execute(_BY_SOURCE, {"since": since})
        return [SourceTotal(*row) for row in cursor.fetchall()]


def arrived_by_source(connection: Connection, since: datetime, until: datetime) -> dict[str, int]:
    """Returns how many rows were written after `since` and up to `until`, by ``csv``, ``live``, ``api``, ``topic``, ...

    Only these rows are read. Open transactions are not counted, so choose an `until` some seconds in the past.
    """
    with translated("count the rows that arrived by source"), connection.cursor() as cursor:
        cursor.execute(_ARRIVED, {"since": since, "until": until})
        return dict(cursor.fetchall())


def server_time(connection: Connection) -> datetime:
    """Returns PostgreSQL's clock, aware: compare `ingested_at` with it."""
    with translated("read the clock"), connection.cursor() as cursor:
        cursor.execute(_NOW)
        now: datetime = cursor.fetchall()[0][0]
        return now
