-- orphans: rows that refer to a row that does not exist: an evaluation without its model, scores without their evaluation.
-- Columns: statement, a query per foreign key; their columns: table_name, row (its key), refers_to, missing (the key there).
-- Then: delete these rows; what they belonged to is gone.
select format(
    'select %L as table_name, jsonb_build_object(%s) as row, %L as refers_to, t.%I as missing from %s as t'
    ' left join %s as other on other.%I = t.%I where t.%I is not null and other.%I is null',
    here.relname, own_key.columns, there.relname, own.attname, c.conrelid::regclass,
    c.confrelid::regclass, its.attname, own.attname, own.attname, its.attname
) as statement
from pg_constraint as c
join pg_class as here on here.oid = c.conrelid
join pg_class as there on there.oid = c.confrelid
join pg_attribute as own on own.attrelid = c.conrelid and own.attnum = c.conkey[1]
join pg_attribute as its on its.attrelid = c.confrelid and its.attnum = c.confkey[1]
cross join lateral (
    select string_agg(format('%L, t.%I', attname, attname), ', ' order by attnum) as columns
    from pg_constraint as p join pg_attribute on attrelid = p.conrelid and attnum = any(p.conkey)
    where p.conrelid = c.conrelid and p.contype = 'p'
) as own_key
where c.contype = 'f' and c.connamespace = current_schema()::regnamespace and cardinality(c.conkey) = 1
order by here.relname, own.attname
