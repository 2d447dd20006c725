-- Made by the assets themselves, as role rtp_insights. Everything here can be computed again.
create schema if not exists insights;
create table if not exists insights.daily_activity (
    day            date not null,
    currency       text collate "C" not null,
    category       text collate "C" not null,
    transactions   bigint not null,
    amount         numeric not null,
    average        numeric not null,
    refunds        bigint not null,
    declines       bigint not null,
    computed_at    timestamptz not null default now(),
    primary key (day, currency, category)
);
create table if not exists insights.customer_activity (
    day            date not null,
    customer_id    text collate "C" not null,
    currency       text collate "C" not null,
    transactions   bigint not null,
    amount         numeric not null,
    refunds        bigint not null,
    declines       bigint not null,
    computed_at    timestamptz not null default now(),
    primary key (day, customer_id, currency)
);
do $$
begin
    if exists (select from pg_roles where rolname = 'rtp_read') then
        grant usage on schema insights to rtp_read;
        grant select on all tables in schema insights to rtp_read;
    end if;
end
$$;
