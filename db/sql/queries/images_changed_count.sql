-- One row: changes, a count of what was changed or removed of images, patients and native columns, as the server keeps it: what was
-- read of them is as it was where this is as it was. Commits are counted within seconds.
select coalesce(sum(n_tup_upd + n_tup_del), 0)::bigint as changes
from pg_catalog.pg_stat_user_tables
where schemaname = current_schema() and relname in ('image', 'patient', 'native_column')
