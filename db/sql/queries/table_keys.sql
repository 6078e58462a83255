-- One row per table that a user made: name (schema.table, quoted), key (its primary key's columns, NULL where it has none).
select format('%I.%I', nspname, relname) as name, (
    select string_agg(format('%I', attname), ', ' order by attnum)
    from pg_constraint join pg_attribute on attrelid = conrelid and attnum = any(conkey)
    where conrelid = pg_class.oid and contype = 'p'
) as key
from pg_class join pg_namespace on pg_namespace.oid = relnamespace
where relkind = 'r' and relpersistence = 'p' and nspname <> 'information_schema' and nspname not like 'pg\_%'
order by 1
