"""Days and what is known of them, in PostgreSQL: which were touched since a moment, recomputed, compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rtp_dagster.platform import Platform
from rtp_workers.postgres.connection import Connection, connect, translated

STATEMENT_S = 300
LOCK = 7_231_018
# A transaction of the consumer ends within seconds, or within minutes where somebody holds a lock. Rows of one that was
# open for longer are not found: the check `sums_agree` names their days.
OLDEST_OPEN = "15 minutes"

# What was written since a snapshot is what its xmin says: `ingested_at`, when a transaction began, only narrows the
# search. Everything below a snapshot's xmin had ended by then, so nothing that was still open is missed.
_TOUCHED = f"""
with here as (select pg_snapshot_xmin(pg_current_snapshot())::text as xmin, clock_timestamp() as at,
                     (select coalesce(max(purge_id), 0) from purges) as purge_id),
     written as (
         select distinct (occurred_at at time zone 'UTC')::date as day from transactions
         where %(xmin)s::bigint is null
            or (ingested_at > %(at)s::timestamptz - interval '{OLDEST_OPEN}'
                and mod(xmin::text::bigint - mod(%(xmin)s::bigint, 4294967296) + 4294967296, 4294967296) < 2147483648)),
     purged as (
         select unnest(days) as day from purges where purge_id > %(purge_id)s)
select xmin, at::text, purge_id,
       array(select day::text from written where day is not null union select day::text from purged order by 1)
from here
"""  # noqa: S608 - our own constant
_FORGET = "delete from insights.{table} where day = any(%(days)s::date[])"
_DAILY = """
insert into insights.daily_activity (day, currency, category, transactions, amount, average, refunds, declines)
select day, coalesce(currency, ''), coalesce(category, ''), count(*), sum(amount), avg(amount),
       count(*) filter (where lower(status) in ('refunded', 'refund') or amount < 0),
       count(*) filter (where lower(status) in ('declined', 'failed', 'rejected'))
from unnest(%(days)s::date[]) as day
join transactions on occurred_at >= day::timestamp at time zone 'UTC'
                 and occurred_at < (day + 1)::timestamp at time zone 'UTC'
group by 1, 2, 3
"""
_CUSTOMERS = """
insert into insights.customer_activity (day, customer_id, currency, transactions, amount, refunds, declines)
select day, customer_id, coalesce(currency, ''), count(*), sum(amount),
       count(*) filter (where lower(status) in ('refunded', 'refund') or amount < 0),
       count(*) filter (where lower(status) in ('declined', 'failed', 'rejected'))
from unnest(%(days)s::date[]) as day
join transactions on occurred_at >= day::timestamp at time zone 'UTC'
                 and occurred_at < (day + 1)::timestamp at time zone 'UTC'
where customer_id is not null
group by 1, 2, 3
"""
_STATEMENTS = {"daily_activity": _DAILY, "customer_activity": _CUSTOMERS}
_ROWS = {
    "daily_activity": "select * from insights.daily_activity where day = any(%(days)s::date[]) order by 1, 2, 3",
    "customer_activity": (
        "select * from insights.customer_activity where day = any(%(days)s::date[]) "
        "order by day, amount desc limit 5000"
    ),
}
# A day counts as wrong when it differs though nothing was written to it since it was computed, or lately at all.
_COMPARED = """
with there as (select (occurred_at at time zone 'UTC')::date as day, count(*) as transactions, sum(amount) as amount,
                      max(ingested_at) as newest from transactions group by 1),
     here as (select day, sum(transactions) as transactions, sum(amount) as amount, min(computed_at) as computed_at
              from insights.daily_activity group by 1)
select coalesce(there.day, here.day)::text, here.day is null, coalesce(there.transactions, 0),
       coalesce(here.transactions, 0)::bigint
from there full join here using (day)
where (there.transactions, there.amount) is distinct from (here.transactions, here.amount)
  and coalesce(newest, '-infinity') < now() - make_interval(secs => %(lately_s)s)
  and coalesce(computed_at, '-infinity') < now() - make_interval(secs => %(lately_s)s)
order by 1
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a tick has looked at.

    Attributes:
        xmin: of its snapshot, as text; None: nothing was looked at yet.
        at: PostgreSQL's clock then.
        purge_id: the last purge.
    """

    xmin: str | None = None
    at: str | None = None
    purge_id: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """A day whose figures do not agree with `transactions`."""

    day: str
    missing: bool
    transactions: int
    stored: int


@contextmanager
def opened(platform: Platform) -> Iterator[Connection]:
    """Opens a connection as the role that writes insights, in autocommit mode.

    Raises:
        ConfigError: nothing says as whom to connect. TransientError: PostgreSQL is away.
    """
    dsn = platform.endpoints().need("postgres_insights_dsn")
    connection = connect(dsn, "rtp-insights", autocommit=True, options=f"-c statement_timeout={STATEMENT_S}s")
    try:
        yield connection
    finally:
        connection.close()


def make_tables(connection: Connection) -> None:
    """Makes schema and tables where they are missing; safe to repeat, and by two at once."""
    with translated("make the tables of the insights"), connection.cursor() as cursor:
        cursor.execute("begin")
        cursor.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
        cursor.execute("select to_regclass('insights.customer_activity') is not null")
        if not cursor.fetchall()[0][0]:
            cursor.execute((Path(__file__).parent / "tables.sql").read_text())
        cursor.execute("commit")


def touched(connection: Connection, seen: Seen) -> tuple[list[str], Seen]:
    """Returns the days of rows that were written or purged since then, and what is seen by now.

    The first time these are all days, found in one pass over the table; later only what is new is read.
    """
    with translated("look for the days that were touched"), connection.cursor() as cursor:
        cursor.execute(_TOUCHED, {"xmin": seen.xmin, "at": seen.at, "purge_id": seen.purge_id})
        xmin, at, purge_id, days = cursor.fetchall()[0]
    return days, Seen(xmin, at, purge_id)


def recompute(connection: Connection, table: str, days: Sequence[str]) -> pd.DataFrame:
    """Computes these days of a table again, in one transaction, and returns their rows (of customers the largest)."""
    values = {"days": list(days)}
    with translated(f"compute {table}"), connection.cursor() as cursor:
        cursor.execute("begin isolation level repeatable read")
        cursor.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
        cursor.execute(_FORGET.format(table=table), values)
        cursor.execute(_STATEMENTS[table], values)
        cursor.execute(_ROWS[table], values)
        names = [column[0] for column in cursor.description or ()]
        frame = pd.DataFrame(cursor.fetchall(), columns=names)
        cursor.execute("commit")
    return frame


def differences(connection: Connection, lately_s: float) -> list[Difference]:
    """Returns the days that do not agree with `transactions`, those left out to which rows came lately: one pass."""
    with translated("compare the insights with transactions"), connection.cursor() as cursor:
        cursor.execute(_COMPARED, {"lately_s": lately_s})
        return [Difference(*row) for row in cursor.fetchall()]
