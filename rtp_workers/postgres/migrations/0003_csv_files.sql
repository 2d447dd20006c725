-- How the last attempt to load each file of the data folder ended: by name, for the file as it was then. A file is done
-- when it is loaded, and what is not loaded has a reason here.

create table csv_files (
    file_name        text collate "C" primary key,
    size_bytes       bigint not null,
    modified_ns      bigint not null,
    mapping          text collate "C" not null,
    state            text collate "C" not null check (state in ('loaded', 'failed')),
    passing          boolean not null,
    attempts         integer not null check (attempts > 0),
    detail           text,
    identity         text collate "C",
    rows_read        bigint not null default 0,
    refused          bigint not null default 0,
    tried_at         timestamptz not null default now()
);
