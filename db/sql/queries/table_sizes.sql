-- One row per table, the largest first: table_name, rows (about), bytes (all), in_rows, in_long_values (TOAST),
-- in_indexes.
select relname::text as table_name, greatest(reltuples, pg_stat_get_live_tuples(oid))::bigint as rows, pg_total_relation_size(oid) as bytes,
    pg_relation_size(oid) as in_rows,
    coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0) as in_long_values, pg_indexes_size(oid) as in_indexes
from pg_class
where relkind = 'r' and relnamespace = current_schema()::regnamespace
order by bytes desc, table_name
