-- One line per Kafka partition. `balance` is 0 in every snapshot: each offset is a row, a duplicate, a dead letter or skipped.
select topic, topic_id, kafka_partition, first_offset, next_offset, inserted, duplicates, dead_lettered, skipped,
       next_offset - first_offset - inserted - duplicates - dead_lettered - skipped as balance,
       updated_at
from ingest_ledger
order by topic, topic_id, kafka_partition;
