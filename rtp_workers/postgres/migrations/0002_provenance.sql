-- Where a row came from, completely: the topic by its id, the generation of its log, and the load that sent it.
-- A generation is one life of a partition's log. When Kafka has lost records that are stored here, its log is another
-- one from then on, and offsets come a second time: a new generation begins, the old one stays as history.
-- Rows of earlier versions keep null: what they came from is not known beyond partition and offset.

alter table transactions
    add column topic_id text collate "C",
    add column generation integer,
    add column load_id bigint;

-- Looser than before, so that every row passes. Not valid first: the lock that keeps writers out is held for less time.
alter table transactions drop constraint amount_range;
alter table transactions
    add constraint amount_range check (abs(amount) < 1e20 and min_scale(amount) <= 18) not valid;
alter table transactions validate constraint amount_range;

alter table ingest_ledger
    add column generation integer not null default 0 check (generation >= 0),
    add column closed_at timestamptz,
    drop constraint ingest_ledger_pkey,
    add constraint ingest_ledger_pkey primary key (topic_id, kafka_partition, generation);
-- A partition has one generation at a time that is written.
create unique index ingest_ledger_one_open on ingest_ledger (topic_id, kafka_partition) where closed_at is null;

alter table dead_letters
    add column generation integer not null default 0,
    add column load_id bigint,
    add column kafka_timestamp timestamptz,
    drop constraint dead_letters_pkey,
    add constraint dead_letters_pkey primary key (topic_id, kafka_partition, generation, kafka_offset);

alter table log_holes
    add column generation integer not null default 0,
    drop constraint log_holes_pkey,
    add constraint log_holes_pkey primary key (topic_id, kafka_partition, generation, from_offset);
