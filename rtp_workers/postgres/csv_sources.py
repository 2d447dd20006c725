"""The memories of CSV sources: how a series of exports is read, and what its ids are made of.

Every function takes a connection in autocommit mode.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from psycopg2.extras import execute_values

from rtp_workers.postgres.connection import Connection, translated

IdRuleName = Literal["columns", "derived-1", "derived-2"]
COMPARED_ROWS = 200_000  # at most this many stored rows are searched for the same dates, amounts and texts

# A source whose loads have stored nothing, or whose rows were all undone, has no effect on later files.
_ALL = """
select memory.csv_source_id, memory.name, memory.section, memory.id_source, memory.id_rule, memory.id_columns,
       memory.header, memory.reading, memory.learned_from,
       count(loads.load_id), coalesce(sum(loads.acknowledged), 0)::bigint, min(loads.first_at), max(loads.last_at),
       coalesce(array_agg(loads.load_id) filter (where loads.load_id is not null), '{}'),
       coalesce(array_agg(distinct loads.file_name) filter (where loads.load_id is not null), '{}'),
       coalesce(array_agg(to_char(loads.first_at at time zone 'UTC', 'YYYY-MM-DD') || '/'
           || to_char(loads.last_at at time zone 'UTC', 'YYYY-MM-DD')) filter (
           where loads.first_at is not null and loads.retired_at is null and not exists (
               select from csv_load_outcomes as ended
               where ended.load_id = loads.load_id and ended.outcome = 'purged')), '{}'),
       memory.learned_at
from csv_sources as memory
left join csv_loads as loads on loads.csv_source_id = memory.csv_source_id
    and loads.retired_because is distinct from 'its rows were purged'
group by memory.csv_source_id order by memory.name
"""
_LEARN = """
insert into csv_sources (name, section, id_source, id_rule, id_columns, header, reading, learned_from)
values (%(name)s, %(section)s, %(id_source)s, %(id_rule)s, %(id_columns)s, %(header)s, %(reading)s, %(learned_from)s)
on conflict (name) do update
set section = excluded.section, id_source = excluded.id_source, id_rule = excluded.id_rule,
    id_columns = excluded.id_columns, header = excluded.header, reading = excluded.reading, updated_at = now()
returning csv_source_id
"""
_STORED = """
select transaction_id, occurred_at, source, load_id, status, attributes::text from transactions
where transaction_id = any(%s)
"""
_STORED_TEXTS = """
select transaction_id, source, load_id, json_build_object('customer_id', customer_id, 'merchant', merchant,
    'category', category, 'payment_method', payment_method, 'status', status, 'attributes', attributes)
from transactions where transaction_id = any(%s)
"""
_COUNT_BETWEEN = """
select count(*) from transactions
where load_id = any(%s) and (occurred_at at time zone 'UTC')::date > %s::date
    and (occurred_at at time zone 'UTC')::date < %s::date
"""
# Rows of releases that did not number their loads; only the name of their file tells them apart.
_UNNUMBERED_SPANS = """
select to_char(min(occurred_at) at time zone 'UTC', 'YYYY-MM-DD'),
       to_char(max(occurred_at) at time zone 'UTC', 'YYYY-MM-DD')
from transactions where load_id is null and source = any(%s) group by source
"""
_UNNUMBERED_BETWEEN = """
select count(*) from transactions
where load_id is null and source = any(%s) and (occurred_at at time zone 'UTC')::date > %s::date
    and (occurred_at at time zone 'UTC')::date < %s::date
"""
_NEAR_LOADS = """
select load_id, file_name, acknowledged from csv_loads
where acknowledged > 0 and first_at <= %(last_at)s::timestamptz and last_at >= %(first_at)s::timestamptz
  and retired_because is distinct from 'its rows were purged' and load_id <> all(%(not_these)s)
order by load_id desc
"""
_ALIKE = """
select asked.number, stored.transaction_id, stored.source
from (values %s) as asked (number, occurred_at, amount, merchant)
join transactions as stored
    on stored.occurred_at = asked.occurred_at and stored.amount = asked.amount
    and stored.merchant is not distinct from asked.merchant
where stored.load_id = any(array[{loads}]::bigint[])
"""


@dataclass(frozen=True, slots=True)
class CsvSource:
    """What is remembered about one series of exports.

    Attributes:
        section: section of the mapping file that last named it, or None.
        id_source: what derived ids start from.
        id_rule: ``columns``; ``derived-2``: from the cells of `id_columns`; ``derived-1``: from all cells, as earlier
            versions did.
        id_columns: in the order in which their cells enter the id.
        header: the columns of the file that was read last.
        reading: how cells become values, and which column's day derived ids begin with; see
            `rtp_workers.batch.series`.
        learned_from: the first file.
        loads: how many files were loaded.
        rows: records that Kafka has acknowledged for them.
        first_at: the earliest instant among them; None if it is not known.
        spans: first and last day, ``YYYY-MM-DD``, of each load of which no row is gone.
    """

    name: str
    section: str | None
    id_source: str
    id_rule: IdRuleName
    id_columns: tuple[str, ...]
    header: tuple[str, ...]
    reading: dict[str, Any]
    learned_from: str
    csv_source_id: int = 0
    loads: int = 0
    rows: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    load_ids: tuple[int, ...] = ()
    files: tuple[str, ...] = ()
    spans: tuple[tuple[str, str], ...] = ()
    learned_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row that has an id which was asked for.

    Attributes:
        attributes: as JSON, which few callers need to read.
    """

    transaction_id: str
    occurred_at: datetime
    source: str
    load_id: int | None
    status: str | None
    attributes: str | None = None


@dataclass(frozen=True, slots=True)
class StoredTexts:
    """The texts of a row that has an id which was asked for.

    Attributes:
        texts: field -> text; ``attributes`` holds an object.
    """

    transaction_id: str
    source: str
    load_id: int | None
    texts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Looks:
    """The values by which a person would compare two transactions."""

    occurred_at: str
    amount: Decimal
    merchant: str | None


def all_sources(connection: Connection) -> list[CsvSource]:
    """Returns every memory, by name."""
    with translated("read the memories of the CSV sources"), connection.cursor() as cursor:
        cursor.execute(_ALL)
        return [_source(row) for row in cursor.fetchall()]


def learn(connection: Connection, source: CsvSource) -> int:
    """Stores a memory under its name, in place of an earlier one. Returns its number."""
    values = {
        "name": source.name,
        "section": source.section,
        "id_source": source.id_source,
        "id_rule": source.id_rule,
        "id_columns": json.dumps(source.id_columns),
        "header": json.dumps(source.header),
        "reading": json.dumps(source.reading),
        "learned_from": source.learned_from,
    }
    with translated("store the memory of a CSV source"), connection.cursor() as cursor:
        cursor.execute(_LEARN, values)
        return int(cursor.fetchall()[0][0])


def stored_rows(connection: Connection, ids: Sequence[str]) -> dict[str, StoredRow]:
    """Returns the rows that have one of these ids, by id."""
    with translated("look ids up"), connection.cursor() as cursor:
        cursor.execute(_STORED, (list(ids),))
        return {row[0]: StoredRow(*row) for row in cursor.fetchall()}


def stored_texts(connection: Connection, ids: Sequence[str]) -> dict[str, StoredTexts]:
    """Returns the texts of the rows that have one of these ids, by id."""
    with translated("look up stored texts"), connection.cursor() as cursor:
        cursor.execute(_STORED_TEXTS, (list(ids),))
        return {row[0]: StoredTexts(*row) for row in cursor.fetchall()}


def rows_between(connection: Connection, load_ids: Sequence[int], first_day: str, last_day: str) -> int:
    """Returns how many rows of these loads lie strictly between two days."""
    with translated("count the rows of a CSV source"), connection.cursor() as cursor:
        cursor.execute(_COUNT_BETWEEN, (list(load_ids), first_day, last_day))
        return int(cursor.fetchall()[0][0])


def unnumbered_spans(connection: Connection, sources: Sequence[str]) -> list[tuple[str, str]]:
    """Returns the first and last day, ``YYYY-MM-DD``, of rows without a load number, by their source.

    Reads the whole table: ask only when the first file of a source is loaded.
    """
    with translated("read the dates of earlier rows"), connection.cursor() as cursor:
        cursor.execute(_UNNUMBERED_SPANS, (list(sources),))
        return [(first, last) for first, last in cursor.fetchall()]


def unnumbered_between(connection: Connection, sources: Sequence[str], first_day: str, last_day: str) -> int:
    """Returns how many rows without a load number these sources have strictly between two days."""
    with translated("count earlier rows"), connection.cursor() as cursor:
        cursor.execute(_UNNUMBERED_BETWEEN, (list(sources), first_day, last_day))
        return int(cursor.fetchall()[0][0])


def alike(
    connection: Connection, rows: Sequence[Looks], first_at: str, last_at: str, not_these: Sequence[int] = ()
) -> dict[int, tuple[str, str]]:
    """Finds stored rows of CSV loads with the same instant, amount and merchant.

    Looks through the loads that cover these dates, the latest first, up to `COMPARED_ROWS` rows.

    Returns:
        Position among `rows` -> id and source of one such row.
    """
    span = {"first_at": first_at, "last_at": last_at, "not_these": list(not_these)}
    with translated("look for the same transactions"), connection.cursor() as cursor:
        cursor.execute(_NEAR_LOADS, span)
        near, left = [], COMPARED_ROWS
        for load_id, _, acknowledged in cursor.fetchall():
            if acknowledged <= left:
                near.append(load_id)
                left -= acknowledged
        if not near or not rows:
            return {}
        statement = _ALIKE.format(loads=", ".join(map(str, near)))
        values = [(number, row.occurred_at, row.amount, row.merchant) for number, row in enumerate(rows)]
        found = execute_values(
            cursor, statement, values, "(%s, %s::timestamptz, %s::numeric, %s::text)", len(values), fetch=True
        )
        return {number: (transaction_id, source) for number, transaction_id, source in found}


def _source(row: tuple[Any, ...]) -> CsvSource:
    number, name, section, id_source, id_rule, id_columns, header, reading, learned_from, *counts = row
    loads, rows, first_at, last_at, load_ids, files, spans, learned_at = counts
    return CsvSource(
        name, section, id_source, id_rule, tuple(id_columns), tuple(header), reading, learned_from, number,
        loads, rows, first_at, last_at, tuple(load_ids), tuple(sorted(files)),
        tuple((span.partition("/")[0], span.partition("/")[2]) for span in spans), learned_at,
    )  # fmt: skip
