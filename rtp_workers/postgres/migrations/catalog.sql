-- One row per thing that the migrations make in a schema: its name, and its definition as this server prints it.
with ours as (
    select oid, relname from pg_class where relnamespace = %(schema)s::regnamespace and relkind in ('r', 'p')
)
select 'table ' || relname, 'a table' from ours
union all
select 'column ' || relname || '.' || attname,
       format_type(atttypid, atttypmod)
       || case when attcollation <> 0 then coalesce((
           select ' collate "' || collname || '"' from pg_collation where pg_collation.oid = attcollation
           and collname <> 'default'), '') else '' end
       || coalesce(' default ' || pg_get_expr(adbin, adrelid), '')
       || case attidentity when 'a' then ' identity' when 'd' then ' identity by default' else '' end
       || case when attnotnull and adbin is not null then ' not null with default'
               when attnotnull and attidentity <> '' then ' not null with identity'
               when attnotnull then ' not null' else '' end
from ours join pg_attribute on attrelid = ours.oid and attnum > 0 and not attisdropped
left join pg_attrdef on adrelid = attrelid and adnum = attnum
union all
select 'constraint ' || relname || '.' || conname,
       pg_get_constraintdef(pg_constraint.oid) || case when convalidated then '' else ' (not validated)' end
from ours join pg_constraint on conrelid = ours.oid and contype in ('p', 'u', 'c', 'f', 'x')
union all
select 'index ' || ours.relname || '.' || pg_class.relname,
       replace(pg_get_indexdef(indexrelid), ' ON ' || %(schema)s || '.', ' ON ')
       || case when indisvalid then '' else ' (invalid)' end
from ours join pg_index on indrelid = ours.oid join pg_class on pg_class.oid = indexrelid
union all
select 'trigger ' || relname || '.' || tgname, pg_get_triggerdef(pg_trigger.oid)
from ours join pg_trigger on tgrelid = ours.oid and not tgisinternal
order by 1;
