-- What tells a log that was rewritten from the one that was stored: fingerprints of some of the stored records of each
-- partition, `offset:digest` each, in order (see rtp_workers/record/marks.py).
alter table ingest_ledger add column marks text;

-- Records that are stored here and that Kafka no longer holds: a warning until a person has confirmed it.
create table log_losses (
    topic_id         text collate "C" not null,
    kafka_partition  integer not null,
    generation       integer not null,
    topic            text collate "C" not null,
    from_offset      bigint not null,
    to_offset        bigint not null check (to_offset >= from_offset),
    seen_at          timestamptz not null default now(),
    confirmed_at     timestamptz,
    confirmed_by     text,
    constraint log_losses_pkey primary key (topic_id, kafka_partition, generation)
);
