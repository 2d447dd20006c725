-- One line per topic, our own and mapped ones. `last_moved` is when a record of it was last accounted for.
select topic, count(distinct kafka_partition) as partitions, sum(next_offset - first_offset) as offsets,
       sum(inserted) as inserted, sum(duplicates) as duplicates, sum(dead_lettered) as dead_lettered,
       sum(skipped) as skipped, max(updated_at) as last_moved
from ingest_ledger
group by topic
order by topic;
