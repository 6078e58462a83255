-- Drops every extension, view, table, sequence, function and type of the schema public; what may be done in it stays as it is.
do $$
declare
    statement text;
begin
    for statement in
        select format('drop extension if exists %I cascade', extname) from pg_extension where extnamespace = 'public'::regnamespace
    loop
        execute statement;
    end loop;
    for statement in
        select format('drop %s if exists public.%I cascade',
            case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' else 'table' end, relname)
        from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S')
    loop
        execute statement;
    end loop;
    for statement in
        select format('drop routine if exists %s cascade', oid::regprocedure) from pg_proc where pronamespace = 'public'::regnamespace
    loop
        execute statement;
    end loop;
    for statement in
        select format('drop type if exists public.%I cascade', typname) from pg_type
        where typnamespace = 'public'::regnamespace and typtype in ('e', 'd')
    loop
        execute statement;
    end loop;
end $$
