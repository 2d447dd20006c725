"""Deletes on purpose (retention, erasure), and counts what it deletes in the same transaction: the ledger adds up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rtp_workers.errors import ConfigError
from rtp_workers.postgres.connection import Connection, Cursor, connect, translated
from rtp_workers.postgres.replay_guard import LogEnds, await_replayed, no_replay

BATCH_IDS = 1_000
BATCH_BLOCKS = 512  # 4 MB of the table per transaction: some 20,000 rows

_ROWS_BY_ID = "transaction_id = any(%(ids)s)"
_LETTERS_BY_KEY = "key = any(%(keys)s)"
# A ctid printed as text, ``(block,line)``, is also a point.
_RANGES_BEFORE = """
select distinct (ctid::text::point)[0]::bigint / %(blocks)s * %(blocks)s from transactions
where occurred_at < %(before)s order by 1
"""


@dataclass(frozen=True, slots=True)
class Criteria:
    """What to delete; give exactly one.

    Attributes:
        ids: transactions, and dead letters whose key is one of them.
        customer_id: a customer's transactions, and dead letters whose key it is.
        before: transactions that occurred earlier than this instant.
        dead_letters_before: dead letters first seen earlier than this instant.
    """

    ids: tuple[str, ...] = ()
    customer_id: str | None = None
    before: datetime | None = None
    dead_letters_before: datetime | None = None

    def __post_init__(self) -> None:
        given = [bool(self.ids), self.customer_id is not None, self.before is not None, bool(self.dead_letters_before)]
        if sum(given) != 1:
            raise ConfigError("say what to purge: give exactly one of ids, a customer, or a time limit")
        for instant in (self.before, self.dead_letters_before):
            if instant is not None and instant.tzinfo is None:
                raise ConfigError(f"{instant.isoformat()} has no offset; give e.g. 2024-01-01T00:00:00Z")

    @property
    def must_not_come_back(self) -> bool:
        """Whether chosen transactions or a customer are deleted, and not just what is old."""
        return bool(self.ids) or self.customer_id is not None

    def described(self) -> dict[str, Any]:
        """Returns what is kept about the purge. It never says who was erased."""
        if self.ids:
            return {"by": "ids", "ids": len(self.ids)}
        if self.customer_id is not None:
            return {"by": "customer_id"}
        if self.before is not None:
            return {"by": "before", "before": str(self.before)}
        return {"by": "dead_letters_before", "before": str(self.dead_letters_before)}


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """How much was deleted, or with `dry_run` would be."""

    rows: int
    dead_letters: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class _Step:
    """One bounded transaction: a where-clause for each table (None deletes nothing there) and the values."""

    values: dict[str, Any]
    rows: str | None = None
    letters: str | None = None


def purge(
    owner_dsn: str,
    criteria: Criteria,
    *,
    dry_run: bool = False,
    on_step: Callable[[PurgeReport], None] | None = None,
    ends: Callable[[], LogEnds] = LogEnds,
    timeout_s: float = 60.0,
) -> PurgeReport:
    """Deletes in bounded steps, each a transaction of its own that also counts into `purges`.

    If it is stopped halfway, some steps are done completely and the others not at all. Run it again to finish.

    Args:
        owner_dsn: the platform's database, as its owner.
        criteria: what to delete.
        dry_run: only count.
        on_step: called with the totals after each step.
        ends: asks Kafka where the topic ends, after any running replay.
        timeout_s: how long to wait before transactions or a customer are deleted: for a replay of dead letters to end,
            and for the consumer to write what it has sent. Otherwise such a record would bring them back.

    Raises:
        TransientError: the server is away, or the wait was in vain. AttentionError: this role may not delete.
    """
    deadline = time.monotonic() + timeout_s
    connection = connect(owner_dsn, "rtp-purge", autocommit=True)
    rows = dead_letters = 0
    try:
        with ExitStack() as stack, translated("purge"), connection.cursor() as cursor:
            if criteria.must_not_come_back and not dry_run:
                stack.enter_context(no_replay(connection, deadline))
                await_replayed(connection, ends, deadline)
            for step in _steps(connection, criteria):
                run = _count if dry_run else _delete
                step_rows, step_letters = run(cursor, step, criteria)
                rows, dead_letters = rows + step_rows, dead_letters + step_letters
                if on_step is not None:
                    on_step(PurgeReport(rows, dead_letters, dry_run))
    finally:
        connection.close()
    return PurgeReport(rows, dead_letters, dry_run)


def _steps(connection: Connection, criteria: Criteria) -> Iterator[_Step]:
    if criteria.ids:
        for start in range(0, len(criteria.ids), BATCH_IDS):
            ids = list(criteria.ids[start : start + BATCH_IDS])
            keys = [text.encode() for text in ids]
            yield _Step({"ids": ids, "keys": keys}, _ROWS_BY_ID, _LETTERS_BY_KEY)
    elif criteria.customer_id is not None:
        for blocks in _block_ranges(connection, "transactions"):
            yield _Step({"customer_id": criteria.customer_id, **blocks}, _in_blocks("customer_id = %(customer_id)s"))
        for blocks in _block_ranges(connection, "dead_letters"):
            values = {"keys": [criteria.customer_id.encode()], **blocks}
            yield _Step(values, letters=_in_blocks(_LETTERS_BY_KEY))
    elif criteria.before is not None:
        for blocks in _ranges_with_rows_before(connection, criteria.before):
            yield _Step({"before": criteria.before, **blocks}, _in_blocks("occurred_at < %(before)s"))
    else:
        for blocks in _block_ranges(connection, "dead_letters"):
            yield _Step(
                {"before": criteria.dead_letters_before, **blocks}, letters=_in_blocks("first_seen_at < %(before)s")
            )


def _block_ranges(connection: Connection, table: str) -> Iterator[dict[str, str]]:
    """Yields ranges of the table's blocks as they are now: one pass over it, whatever is deleted meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_relation_size(%s::regclass) / current_setting('block_size')::bigint", (f"public.{table}",)
        )
        blocks = cursor.fetchall()[0][0]
    for start in range(0, blocks, BATCH_BLOCKS):
        yield _range(start)


def _ranges_with_rows_before(connection: Connection, before: datetime) -> Iterator[dict[str, str]]:
    """Yields the same ranges of `transactions`, but only those that hold such rows now.

    The index on occurred_at finds them, so a day is purged from a large table without reading all of it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_RANGES_BEFORE, {"before": before, "blocks": BATCH_BLOCKS})
        starts = [start for (start,) in cursor.fetchall()]
    yield from map(_range, starts)


def _range(start: int) -> dict[str, str]:
    return {"first": f"({start},0)", "last": f"({start + BATCH_BLOCKS},0)"}


def _in_blocks(condition: str) -> str:
    return f"ctid >= %(first)s::tid and ctid < %(last)s::tid and {condition}"


def _delete(cursor: Cursor, step: _Step, criteria: Criteria) -> tuple[int, int]:
    """Deletes and counts in one statement, which is one transaction. A step that finds nothing leaves no trace.

    It also records for each load how many of its rows are gone, so that a later load of the file reports them.
    """
    cursor.execute(
        f"""
        with gone_rows as (
                 delete from transactions where {step.rows or "false"}
                 returning load_id, (occurred_at at time zone 'UTC')::date as day),
             gone_letters as (delete from dead_letters where {step.letters or "false"} returning 1),
             counted as (
                 select (select count(*) from gone_rows) as rows, (select count(*) from gone_letters) as letters),
             noted as (
                 insert into purges (criteria, purged_rows, purged_dead_letters, days)
                 select %(criteria)s, rows, letters, array(select distinct day from gone_rows order by day)
                 from counted where rows + letters > 0),
             told as (
                 insert into csv_load_outcomes as ended (load_id, kafka_partition, outcome, records)
                 select load_id, -1, 'purged', count(*) from gone_rows where load_id is not null group by load_id
                 on conflict (load_id, kafka_partition, outcome, stored_load_id, stored_source)
                 do update set records = ended.records + excluded.records)
        select rows, letters from counted
        """,  # noqa: S608 - the clauses are constants of this module, every value is a parameter
        {**step.values, "criteria": json.dumps(criteria.described())},
    )
    rows, letters = cursor.fetchall()[0]
    return int(rows), int(letters)


def _count(cursor: Cursor, step: _Step, criteria: Criteria) -> tuple[int, int]:
    cursor.execute(
        f"""
        select (select count(*) from transactions where {step.rows or "false"}),
               (select count(*) from dead_letters where {step.letters or "false"})
        """,  # noqa: S608 - the clauses are constants of this module, every value is a parameter
        step.values,
    )
    rows, letters = cursor.fetchall()[0]
    return int(rows), int(letters)
