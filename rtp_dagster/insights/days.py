"""The days of the insights, in PostgreSQL: finds those that were touched, recomputes them, compares them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rtp_dagster.platform import Platform
from rtp_workers.postgres.connection import Connection, connect, translated

if TYPE_CHECKING:
    import pandas as pd

STATEMENT_S = 300
LOCK = 7_231_018
# A transaction of the consumer ends within seconds, or within minutes if another session holds a lock. Rows of a
# transaction that was open for longer are missed here; the check `sums_agree` then names their days.
OLDEST_OPEN = "15 minutes"

# A first look reads the table in pieces, one a tick: each takes a part of a second, however large the table is.
PIECE_BLOCKS = 32_768  # 256 MB, about a million rows

# The xmin of a snapshot decides which rows were written after it. Every transaction below it had ended by then, so no
# row of a transaction that was still open is missed. `ingested_at`, a transaction's start, only narrows the search.
_TOUCHED = f"""
with here as (select pg_snapshot_xmin(pg_current_snapshot())::text as xmin, clock_timestamp() as at,
                     (select coalesce(max(purge_id), 0) from purges) as purge_id),
     written as (
         select distinct (occurred_at at time zone 'UTC')::date as day from transactions
         where ingested_at > %(at)s::timestamptz - interval '{OLDEST_OPEN}'
           and mod(xmin::text::bigint - mod(%(xmin)s::bigint, 4294967296) + 4294967296, 4294967296) < 2147483648),
     purged as (
         select unnest(days) as day from purges where purge_id > %(purge_id)s)
select xmin, at::text, purge_id,
       array(select day::text from written where day is not null union select day::text from purged order by 1)
from here
"""  # noqa: S608 - our own constant
_HERE = """
select pg_snapshot_xmin(pg_current_snapshot())::text, clock_timestamp()::text, 0, 0,
       pg_relation_size('transactions') / current_setting('block_size')::bigint
"""
_PIECE = """
select distinct (occurred_at at time zone 'UTC')::date::text as day from transactions
where ctid >= %(first)s::tid and ctid < %(last)s::tid and occurred_at is not null order by 1
"""
_FORGET = "delete from insights.{table} where day = any(%(days)s::date[])"
# Days are looked up one by one, by the index on occurred_at. A plain join with the table lets PostgreSQL compare every
# row with every day: 48 s of CPU time for 36 days of 10 million rows, where this takes 1 s.
_OF_THE_DAY = """
occurred_at >= day::timestamp at time zone 'UTC' and occurred_at < (day + 1)::timestamp at time zone 'UTC'
"""
_DAILY = f"""
insert into insights.daily_activity (day, currency, category, transactions, amount, average, refunds, declines)
select day, found.* from unnest(%(days)s::date[]) as day cross join lateral (
    select coalesce(currency, ''), coalesce(category, ''), count(*), sum(amount), avg(amount),
           count(*) filter (where lower(status) in ('refunded', 'refund') or amount < 0),
           count(*) filter (where lower(status) in ('declined', 'failed', 'rejected'))
    from transactions where {_OF_THE_DAY} group by 1, 2) as found
"""  # noqa: S608 - our own text
_CUSTOMERS = f"""
insert into insights.customer_activity (day, customer_id, currency, transactions, amount, refunds, declines)
select day, found.* from unnest(%(days)s::date[]) as day cross join lateral (
    select customer_id, coalesce(currency, ''), count(*), sum(amount),
           count(*) filter (where lower(status) in ('refunded', 'refund') or amount < 0),
           count(*) filter (where lower(status) in ('declined', 'failed', 'rejected'))
    from transactions where {_OF_THE_DAY} and customer_id is not null group by 1, 2) as found
"""  # noqa: S608 - our own text
_STATEMENTS = {"daily_activity": _DAILY, "customer_activity": _CUSTOMERS}
_ROWS = {
    "daily_activity": "select * from insights.daily_activity where day = any(%(days)s::date[]) order by 1, 2, 3",
    "customer_activity": (
        "select * from insights.customer_activity where day = any(%(days)s::date[]) "
        "order by day, amount desc limit 5000"
    ),
}
_ALL_DAYS = """
there as (select (occurred_at at time zone 'UTC')::date as day, count(*) as transactions, sum(amount) as amount,
                 max(ingested_at) as newest from transactions group by 1),
here as (select day, sum(transactions) as transactions, sum(amount) as amount, min(computed_at) as computed_at
         from insights.daily_activity group by 1)
"""
_SOME_DAYS = f"""
there as (select day, found.* from unnest(%(days)s::date[]) as day cross join lateral (
              select count(*) as transactions, sum(amount) as amount, max(ingested_at) as newest
              from transactions where {_OF_THE_DAY} having count(*) > 0) as found),
here as (select day, sum(transactions) as transactions, sum(amount) as amount, min(computed_at) as computed_at
         from insights.daily_activity where day = any(%(days)s::date[]) group by 1)
"""  # noqa: S608 - our own text
# A day counts as wrong if it differs, was not computed in the last minutes, and received no rows in them.
_COMPARED = """
with {days}
select coalesce(there.day, here.day)::text, here.day is null, coalesce(there.transactions, 0),
       coalesce(here.transactions, 0)::bigint
from there full join here using (day)
where (there.transactions, there.amount) is distinct from (here.transactions, here.amount)
  and coalesce(newest, '-infinity') < now() - make_interval(secs => %(lately_s)s)
  and coalesce(computed_at, '-infinity') < now() - make_interval(secs => %(lately_s)s)
order by 1
"""
# Days of blocks drawn at random, so that a day that is missing here is drawn as well, and days that are computed.
_DRAWN = """
with there as (select distinct (occurred_at at time zone 'UTC')::date as day
               from transactions tablesample system (least(100, 100.0 * %(blocks)s / greatest(1, %(all_blocks)s)))),
     here as (select distinct day from insights.daily_activity)
select day::text from (select day from there union select day from here) as known order by random() limit %(days)s
"""
_SIZES = """
select (select count(distinct day) from insights.daily_activity),
       pg_relation_size('transactions') / current_setting('block_size')::bigint,
       (select coalesce(sum(transactions), 0) from insights.daily_activity)::bigint
"""
DRAWN_BLOCKS, DRAWN_ROWS = 200, 200_000


@dataclass(frozen=True, slots=True)
class Seen:
    """How far a tick has looked.

    Attributes:
        xmin: the xmin of its snapshot, as text; None: nothing was looked at yet.
        at: PostgreSQL's clock at that time, as text.
        purge_id: the last purge that was seen.
        block: where the first look continues in the table.
        blocks: where it ends. What comes after that was written later than `at`.
    """

    xmin: str | None = None
    at: str | None = None
    purge_id: int = 0
    block: int = 0
    blocks: int = 0

    @property
    def is_first_look(self) -> bool:
        """True until the whole table was looked at once."""
        return self.xmin is None or self.block < self.blocks


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
        ConfigError: no login for this role is known.
        TransientError: PostgreSQL is away.
    """
    dsn = platform.endpoints().need("postgres_insights_dsn")
    connection = connect(dsn, "rtp-insights", autocommit=True, options=f"-c statement_timeout={STATEMENT_S}s")
    try:
        yield connection
    finally:
        connection.close()


def make_tables(connection: Connection) -> None:
    """Creates the schema and its tables if they are missing. Safe to repeat, and for two callers at the same time."""
    with translated("make the tables of the insights"), connection.cursor() as cursor:
        cursor.execute("begin")
        cursor.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
        cursor.execute("select to_regclass('insights.customer_activity') is not null")
        if not cursor.fetchall()[0][0]:
            cursor.execute((Path(__file__).parent / "tables.sql").read_text())
        cursor.execute("commit")


def touched(connection: Connection, seen: Seen) -> tuple[list[str], Seen]:
    """Returns the days of the rows that were written or purged since `seen`, and how far this call has looked.

    The first look returns the days of all rows. It takes several calls, each of which reads a piece of the table. Later
    calls read only the new rows. The first of them returns the days of all purges, too.
    """
    with translated("look for the days that were touched"), connection.cursor() as cursor:
        if seen.xmin is None:
            cursor.execute(_HERE)
            seen = Seen(*cursor.fetchall()[0])
        if seen.is_first_look:
            last = min(seen.block + PIECE_BLOCKS, seen.blocks)
            cursor.execute(_PIECE, {"first": f"({seen.block},0)", "last": f"({last},0)"})
            return [day for (day,) in cursor.fetchall()], replace(seen, block=last)
        cursor.execute(_TOUCHED, {"xmin": seen.xmin, "at": seen.at, "purge_id": seen.purge_id})
        xmin, at, purge_id, days = cursor.fetchall()[0]
    return days, Seen(xmin, at, purge_id)


def recompute(connection: Connection, table: str, days: Sequence[str]) -> pd.DataFrame:
    """Recomputes these days of a table in one transaction, and returns their rows (of customers, the largest)."""
    import pandas as pd  # here: each Dagster process would import it otherwise, which takes half a second and 40 MB

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


def differences(connection: Connection, lately_s: float, days: Sequence[str] | None = None) -> list[Difference]:
    """Returns the days that disagree with `transactions`, except those that changed in the last `lately_s` seconds.

    Only `days` are compared, if they are given; all days take a pass over the table.
    """
    with translated("compare the insights with transactions"), connection.cursor() as cursor:
        compared = _COMPARED.format(days=_ALL_DAYS if days is None else _SOME_DAYS)
        cursor.execute(compared, {"lately_s": lately_s, "days": None if days is None else list(days)})
        return [Difference(*row) for row in cursor.fetchall()]


def drawn_days(connection: Connection) -> list[str]:
    """Returns some days at random: as many as have about `DRAWN_ROWS` rows together, but at least one."""
    with translated("draw days to compare"), connection.cursor() as cursor:
        cursor.execute(_SIZES)
        computed, all_blocks, rows = cursor.fetchall()[0]
        days = max(1, DRAWN_ROWS * computed // max(1, rows))
        cursor.execute(_DRAWN, {"blocks": DRAWN_BLOCKS, "all_blocks": all_blocks, "days": days})
        return [day for (day,) in cursor.fetchall()]
