-- The tables of the platform. CHECK constraints carry fixed literals only: no session setting may change their
-- meaning, so every timestamp literal states its offset and every text comparison its collation.

create table transactions (
    transaction_id   text collate "C" not null,
    occurred_at      timestamptz not null,
    amount           numeric not null,
    customer_id      text collate "C",
    merchant         text collate "C",
    category         text collate "C",
    currency         text collate "C",
    payment_method   text collate "C",
    status           text collate "C",
    country          text collate "C",
    attributes       jsonb,
    source           text collate "C" not null,
    kafka_partition  integer not null,
    kafka_offset     bigint not null,
    ingested_at      timestamptz not null default now(),

    constraint transactions_pkey primary key (transaction_id),
    constraint transaction_id_length check (length(transaction_id) between 1 and 64),
    constraint transaction_id_no_controls check (transaction_id !~ U&'[\0001-\001F\007F-\009F]'),
    constraint occurred_at_range check (
        occurred_at >= timestamptz '1900-01-01 00:00:00+00' and occurred_at < timestamptz '2101-01-01 00:00:00+00'),
    constraint amount_range check (abs(amount) < 1e20 and min_scale(amount) <= 12),
    constraint customer_id_length check (length(customer_id) <= 64),
    constraint merchant_length check (length(merchant) <= 500),
    constraint category_length check (length(category) <= 100),
    constraint currency_code check (currency ~ '^[A-Z]{3}$'),
    constraint payment_method_length check (length(payment_method) <= 64),
    constraint status_length check (length(status) <= 64),
    constraint country_code check (country ~ '^[A-Z]{2}$'),
    constraint attributes_object check (jsonb_typeof(attributes) = 'object'),
    constraint attributes_size check (octet_length(attributes::text) <= 8192),
    constraint source_length check (length(source) <= 300)
);
-- Latest rows and rates without a second b-tree: rows arrive in the order of ingested_at.
create index transactions_ingested_at on transactions using brin (ingested_at) with (pages_per_range = 32, autosummarize = on);

create table ingest_ledger (
    topic_id         text collate "C" not null,
    kafka_partition  integer not null,
    topic            text collate "C" not null,
    group_id         text collate "C" not null,
    first_offset     bigint not null,
    next_offset      bigint not null,
    inserted         bigint not null default 0,
    duplicates       bigint not null default 0,
    dead_lettered    bigint not null default 0,
    skipped          bigint not null default 0,
    updated_at       timestamptz not null default now(),

    constraint ingest_ledger_pkey primary key (topic_id, kafka_partition),
    constraint ingest_ledger_not_negative check (
        kafka_partition >= 0 and first_offset >= 0 and inserted >= 0 and duplicates >= 0
        and dead_lettered >= 0 and skipped >= 0),
    constraint ingest_ledger_balances check (
        next_offset - first_offset = inserted + duplicates + dead_lettered + skipped)
);

create table dead_letters (
    topic_id         text collate "C" not null,
    kafka_partition  integer not null,
    kafka_offset     bigint not null,
    topic            text collate "C" not null,
    key              bytea,
    value            bytea,
    headers          jsonb not null default '[]',
    reason           text collate "C" not null,
    detail           text collate "C" not null,
    first_seen_at    timestamptz not null default now(),
    replayed_at      timestamptz,

    constraint dead_letters_pkey primary key (topic_id, kafka_partition, kafka_offset),
    constraint dead_letters_headers_list check (jsonb_typeof(headers) = 'array')
);
create index dead_letters_first_seen_at on dead_letters (first_seen_at);

-- What `rtp purge` took away, so that the ledger still explains every count.
create table purges (
    purge_id         bigint generated always as identity primary key,
    purged_at        timestamptz not null default now(),
    purged_by        text collate "C" not null default session_user,
    criteria         jsonb not null,
    purged_rows      bigint not null check (purged_rows >= 0),
    purged_dead_letters bigint not null check (purged_dead_letters >= 0)
);

-- One row: what a person has told every consumer of the platform.
create table ingest_control (
    singleton        boolean primary key default true check (singleton),
    paused           boolean not null default false,
    paused_reason    text,
    changed_at       timestamptz not null default now()
);
insert into ingest_control default values;

-- A hole in the log (retention ran past the stored offset): noted by the consumer, accepted by a person.
create table log_holes (
    topic_id         text collate "C" not null,
    kafka_partition  integer not null,
    from_offset      bigint not null,
    to_offset        bigint not null check (to_offset > from_offset),
    seen_at          timestamptz not null default now(),
    accepted_at      timestamptz,
    counted_at       timestamptz,
    primary key (topic_id, kafka_partition, from_offset)
);

-- Progress of CSV loads: one row per file identity (digest of its content's beginning and its mapping's source).
create table csv_loads (
    load_id          bigint generated always as identity primary key,
    identity         text collate "C" not null unique,
    file_name        text collate "C" not null,
    state            text collate "C" not null check (state in ('loading', 'loaded', 'failed')),
    size_bytes       bigint,
    byte_offset      bigint not null default 0,
    line_number      bigint not null default 0,
    rows_read        bigint not null default 0,
    acknowledged     bigint not null default 0,
    refused          bigint not null default 0,
    topic_id         text collate "C",
    last_offsets     jsonb not null default '{}',
    resume_state     jsonb not null default '{}',
    detail           text,
    started_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    finished_at      timestamptz
);
