-- A memory for each series of CSV exports, and for each load how its records ended: so that an import can be told
-- apart, undone and repeated.

-- One row per source: a series of exports with the same columns from the same account.
create table csv_sources (
    csv_source_id    bigint generated always as identity primary key,
    name             text collate "C" not null unique,
    section          text collate "C",
    id_source        text collate "C" not null,
    id_rule          text collate "C" not null check (id_rule in ('columns', 'derived-1', 'derived-2')),
    id_columns       jsonb not null default '[]',
    header           jsonb not null,
    reading          jsonb not null,
    learned_from     text collate "C" not null,
    learned_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now()
);

alter table csv_loads
    add column csv_source_id bigint references csv_sources on delete set null,
    add column numbered boolean not null default false,
    add column derives_ids boolean not null default false,
    add column first_at timestamptz,
    add column last_at timestamptz,
    add column retired_at timestamptz,
    add column retired_because text;

-- How the records of a load ended, counted in the transaction that wrote them; `purged` is what was deleted since.
-- A repeated record names the load and the source of the row that was there before it (0: a row without a load).
create table csv_load_outcomes (
    load_id          bigint not null,
    kafka_partition  integer not null,
    outcome          text collate "C" not null
                     check (outcome in ('inserted', 'duplicate', 'changed', 'dead_letter', 'purged')),
    stored_load_id   bigint not null default 0,
    stored_source    text collate "C" not null default '',
    records          bigint not null check (records >= 0),
    primary key (load_id, kafka_partition, outcome, stored_load_id, stored_source)
);

-- The rows of a load are found without a second b-tree: they arrive together.
create index transactions_load_id on transactions using brin (load_id) with (pages_per_range = 32, autosummarize = on);
