-- Both differences are 0: what the ledger counted is in the tables, apart from what was purged. Counts the whole table.
with ledger as (
    select coalesce(sum(inserted), 0) as inserted, coalesce(sum(dead_lettered), 0) as dead_lettered from ingest_ledger
), purged as (
    select coalesce(sum(purged_rows), 0) as rows, coalesce(sum(purged_dead_letters), 0) as dead_letters from purges
)
select (select count(*) from transactions) as rows,
       ledger.inserted - purged.rows - (select count(*) from transactions) as rows_difference,
       (select count(*) from dead_letters) as dead_letters,
       ledger.dead_lettered - purged.dead_letters - (select count(*) from dead_letters) as dead_letters_difference
from ledger, purged;
