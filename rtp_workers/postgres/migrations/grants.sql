-- What each role may do, and no more. Applied after every migration, whatever was granted before on these tables.

revoke all on transactions, ingest_ledger, dead_letters, purges, ingest_control, log_holes, log_losses, csv_loads,
    csv_files,
    alembic_version
    from public, rtp_ingest, rtp_read;
revoke create on schema public from public, rtp_ingest, rtp_read;
grant usage on schema public to rtp_ingest, rtp_read;
grant select on transactions, ingest_ledger, dead_letters, purges, ingest_control, log_holes, log_losses, csv_loads,
    csv_files,
    alembic_version
    to rtp_ingest, rtp_read;

-- The workers: rows and dead letters are only ever added; counters move; nothing is deleted.
grant insert on transactions, ingest_ledger, dead_letters, log_holes, log_losses, csv_loads to rtp_ingest;
grant update (next_offset, inserted, duplicates, dead_lettered, skipped, updated_at, marks, closed_at)
    on ingest_ledger to rtp_ingest;
grant update (replayed_at) on dead_letters to rtp_ingest;
grant update (paused, paused_reason, changed_at) on ingest_control to rtp_ingest;
grant update (to_offset, accepted_at, counted_at, reason) on log_holes to rtp_ingest;
grant update (confirmed_at, confirmed_by) on log_losses to rtp_ingest;
grant update on csv_loads to rtp_ingest;
grant insert, update, delete on csv_files to rtp_ingest;

-- Memories of CSV sources, and how the records of each load ended.
revoke all on csv_sources, csv_load_outcomes from public, rtp_ingest, rtp_read;
grant select on csv_sources, csv_load_outcomes to rtp_ingest, rtp_read;
grant insert on csv_sources, csv_load_outcomes to rtp_ingest;
grant update on csv_sources to rtp_ingest;
grant update (records) on csv_load_outcomes to rtp_ingest;

do $$
begin
    execute format('grant connect on database %I to rtp_ingest, rtp_read', current_database());
    execute format('grant temporary on database %I to rtp_ingest', current_database());  -- the staging table
    if exists (select from pg_roles where rolname = 'rtp_insights') then
        -- It makes a schema of its own, and reads what that is computed from.
        execute format('grant connect, create on database %I to rtp_insights', current_database());
        grant usage on schema public to rtp_insights;
        grant select on transactions, purges to rtp_insights;
    end if;
end
$$;
