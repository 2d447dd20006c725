"""The staging table: how a batch with repeated ids or refused values lands, and how each of its records ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rtp_workers.postgres.batch import Counts, DeadLetter, KafkaRecord
from rtp_workers.postgres.connection import Cursor
from rtp_workers.postgres.load_outcomes import Ending, Outcome
from rtp_workers.record.transaction import COPY_COLUMNS, FIELD_NAMES

_COLUMNS = ", ".join(COPY_COLUMNS)
COPY = f"copy pg_temp.incoming ({_COLUMNS}) from stdin"
PREPARE = f"""
create temp table if not exists incoming on commit delete rows as select {_COLUMNS} from transactions with no data;
create temp table if not exists landed (kafka_partition int, kafka_offset bigint, load_id bigint)
    on commit delete rows;
-- A batch meets the table through its key. Without statistics the planner may prefer to read the whole table.
set enable_hashjoin = off;
set enable_mergejoin = off
"""  # noqa: S608 - column names of our own declaration
INSERT = f"""
with inserted as (
    insert into transactions ({_COLUMNS})
    select {_COLUMNS} from pg_temp.incoming order by transaction_id, kafka_partition, kafka_offset
    on conflict (transaction_id) do nothing
    returning kafka_partition, kafka_offset, load_id)
insert into pg_temp.landed select kafka_partition, kafka_offset, load_id from inserted
"""  # noqa: S608 - column names of our own declaration
_LANDED = "select kafka_partition, coalesce(load_id, 0), count(*) from pg_temp.landed group by kafka_partition, load_id"
_CONTENT = [name for name in FIELD_NAMES if name != "transaction_id"]
_SAME_CONTENT = " and ".join(f"incoming.{name} is not distinct from stored.{name}" for name in _CONTENT)
# An id that a load has derived from the row's cells identifies that row, whatever else has changed: its status, its
# running balance, the mapping. The form is checked, too, so that a header cannot hide another record's conflict.
_OUTCOME = f"""
case when {_SAME_CONTENT} then 'duplicate'
     when incoming.load_id is not null and incoming.transaction_id ~ '^[0-9a-f]{{32}}(-[0-9]+)?$'
          and exists (select from csv_loads where csv_loads.load_id = incoming.load_id and derives_ids) then 'changed'
end as outcome
"""
_REPEATED_COLUMNS = f"""
incoming.kafka_partition, incoming.kafka_offset, incoming.load_id, {_OUTCOME},
case when incoming.load_id is null then 0 else coalesce(stored.load_id, 0) end as stored_load_id,
case when incoming.load_id is null then '' else stored.source end as stored_source
"""
# Repeated ids: counted if they are the same row (kafka_offset null), listed if they conflict (outcome null).
_COUNTED = """
select kafka_partition, null::bigint, count(*), coalesce(load_id, 0), outcome, stored_load_id, stored_source
from repeated where outcome is not null
group by kafka_partition, load_id, outcome, stored_load_id, stored_source
union all
select kafka_partition, kafka_offset, 1, 0, null, 0, '' from repeated where outcome is null
"""
_REPEATED = f"""
with repeated as materialized (
    select {_REPEATED_COLUMNS}
    from pg_temp.incoming join transactions as stored using (transaction_id)
    where (incoming.kafka_partition, incoming.kafka_offset)
        not in (select kafka_partition, kafka_offset from pg_temp.landed))
{_COUNTED}
"""  # noqa: S608 - column names of our own declaration
# The same for rows that are stored before anything is inserted; takes them out of the staging table.
TAKE_OUT_STORED = f"""
with repeated as (
    delete from pg_temp.incoming using transactions as stored
    where stored.transaction_id = incoming.transaction_id
    returning {_REPEATED_COLUMNS})
{_COUNTED}
"""  # noqa: S608 - column names of our own declaration
CLEAR = "delete from pg_temp.incoming; delete from pg_temp.landed"

# kafka_partition, kafka_offset (of a conflict), how many, load_id, outcome, and load_id and source of the stored row.
Repeated = tuple[int, int | None, int, int, Outcome | None, int, str]


def count_landed(
    cursor: Cursor,
    records: Sequence[KafkaRecord],
    repeated: list[Repeated],
    counts: dict[int, Counts],
    endings: Counter[Ending],
) -> list[DeadLetter]:
    """Counts how the records of the staging table ended, by partition and by load.

    Args:
        cursor: after `INSERT`.
        records: the records of the staging table.
        repeated: what `TAKE_OUT_STORED` has returned, if it ran.
        counts: added to, by kafka_partition.
        endings: added to, for records of a load.

    Returns:
        The records whose id is stored with other content.
    """
    cursor.execute(_LANDED)
    landed = cursor.fetchall()
    for partition, load_id, number in landed:
        counts[partition].inserted += number
        if load_id:
            endings[Ending(load_id, partition, "inserted")] += number
    if sum(row[2] for row in landed) + sum(row[2] for row in repeated) < len(records):
        cursor.execute(_REPEATED)
        repeated = repeated + cursor.fetchall()
    conflicts = set()
    for partition, offset, number, load_id, outcome, stored_load_id, stored_source in repeated:
        if outcome is None:
            conflicts.add((partition, offset))
            continue
        counts[partition].duplicates += number
        if load_id:
            endings[Ending(load_id, partition, outcome, stored_load_id, stored_source)] += number
    if not conflicts:
        return []
    return [
        DeadLetter(record, "conflicting_duplicate", "the transaction_id is stored already, with different content")
        for record in records
        if (record.partition(), record.offset()) in conflicts
    ]
