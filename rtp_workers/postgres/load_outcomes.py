"""How the records of each CSV load ended: counted in the transaction that writes them, read for summaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from psycopg2.extras import execute_values

from rtp_workers.postgres.connection import Connection, Cursor, translated

Outcome = Literal["inserted", "duplicate", "changed", "dead_letter", "purged"]
NO_PARTITION = -1  # what is deleted later is not counted by partition
NO_LOAD = 0

_ADD = """
insert into csv_load_outcomes as counted (load_id, kafka_partition, outcome, stored_load_id, stored_source, records)
values %s
on conflict (load_id, kafka_partition, outcome, stored_load_id, stored_source)
do update set records = counted.records + excluded.records
"""
_READ = """
select outcome, stored_load_id, stored_source, sum(records)::bigint from csv_load_outcomes
where load_id = %s group by outcome, stored_load_id, stored_source order by 4 desc, 3
"""

_WAITING = """
with sent as (
    select key::int as kafka_partition, max(value::bigint) + 1 as end_offset
    from csv_loads, jsonb_each_text(last_offsets)
    where load_id = any(%(load_ids)s) and topic_id = %(topic_id)s group by key)
select coalesce(sum(greatest(0, sent.end_offset - coalesce((
    select max(next_offset) from ingest_ledger as ledger
    where ledger.topic_id = %(topic_id)s and ledger.kafka_partition = sent.kafka_partition and closed_at is null
), 0))), 0)::bigint
from sent
"""


class Ending(NamedTuple):
    """What is counted together.

    Attributes:
        stored_load_id: of the row that was there before a repeated record; `NO_LOAD` where it has none.
        stored_source: the source of that row.
    """

    load_id: int
    kafka_partition: int
    outcome: Outcome
    stored_load_id: int = NO_LOAD
    stored_source: str = ""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How the records of one load ended, so far.

    Attributes:
        inserted: new rows.
        duplicates: records whose transaction was stored before; those in `changed` and `own_repeats` included.
        changed: duplicates whose volatile cells (status, balance) differ from the stored row's.
        own_repeats: duplicates of rows that this load itself has stored.
        dead_letters: records that PostgreSQL has not taken.
        purged: rows of this load that were purged since.
        stored_by: source of the rows that existed before, e.g. ``csv:april.csv`` -> number of records.
    """

    inserted: int = 0
    duplicates: int = 0
    changed: int = 0
    own_repeats: int = 0
    dead_letters: int = 0
    purged: int = 0
    stored_by: tuple[tuple[str, int], ...] = ()

    @property
    def counted(self) -> int:
        """Records that the consumer has written or counted."""
        return self.inserted + self.duplicates + self.dead_letters


def add(cursor: Cursor, endings: Counter[Ending]) -> None:
    """Adds counts, inside the caller's transaction; in one order, so that two writers cannot block each other."""
    if endings:
        execute_values(cursor, _ADD, [(*ending, records) for ending, records in sorted(endings.items())])


def read(connection: Connection, load_id: int) -> Outcomes:
    """Returns how the records of a load ended, as of now; any role that may read."""
    with translated("read how a load ended"), connection.cursor() as cursor:
        cursor.execute(_READ, (load_id,))
        return _outcomes(load_id, cursor.fetchall())


def waiting(connection: Connection, load_ids: Sequence[int], topic_id: str) -> int:
    """Returns how many offsets, up to the last acknowledged record of these loads, the ledger has not passed.

    Loads into another topic (deleted or re-created since) are not waited for.
    """
    with translated("read how far the ledger is"), connection.cursor() as cursor:
        cursor.execute(_WAITING, {"load_ids": list(load_ids), "topic_id": topic_id})
        return int(cursor.fetchall()[0][0])


def _outcomes(load_id: int, rows: Iterable[tuple[str, int, str, int]]) -> Outcomes:
    sums: Counter[str] = Counter()
    stored_by: Counter[str] = Counter()
    own_repeats = 0
    for outcome, stored_load_id, stored_source, records in rows:
        sums[outcome] += records
        if outcome not in ("duplicate", "changed"):
            continue
        if stored_load_id == load_id:
            own_repeats += records
        else:
            stored_by[stored_source] += records
    return Outcomes(
        inserted=sums["inserted"],
        duplicates=sums["duplicate"] + sums["changed"],
        changed=sums["changed"],
        own_repeats=own_repeats,
        dead_letters=sums["dead_letter"],
        purged=sums["purged"],
        stored_by=tuple(stored_by.most_common()),
    )
