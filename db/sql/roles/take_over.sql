-- Makes the owner own what another role has made in this database: schemas, relations, routines, types, statistics and large
-- objects. Members of extensions stay whose they are. Run as a superuser. Changes nothing where it has been run before.
-- Names: owner, owner_name (as a literal), former_name (as a literal).
do $$
declare
    statement text;
begin
    for statement in
        select format('alter schema %I owner to %I', nspname, {owner_name})
        from pg_namespace
        where nspowner = {former_name}::regrole and nspname !~ '^pg_' and nspname <> 'information_schema'
        union all
        select format('alter table %I.%I owner to %I', nspname, relname, {owner_name})  -- alter table takes every kind
        from pg_class join pg_namespace on pg_namespace.oid = relnamespace
        where relowner = {former_name}::regrole and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
            and nspname !~ '^pg_' and nspname <> 'information_schema'
            and not exists (  -- of an extension, or a sequence that goes with its column
                select from pg_depend
                where pg_depend.classid = 'pg_class'::regclass and pg_depend.objid = pg_class.oid
                    and (deptype = 'e' or relkind = 'S' and deptype in ('a', 'i'))
            )
        union all
        select format('alter routine %s owner to %I', pg_proc.oid::regprocedure, {owner_name})
        from pg_proc join pg_namespace on pg_namespace.oid = pronamespace
        where proowner = {former_name}::regrole and nspname !~ '^pg_' and nspname <> 'information_schema'
            and not exists (
                select from pg_depend
                where pg_depend.classid = 'pg_proc'::regclass and pg_depend.objid = pg_proc.oid and deptype = 'e'
            )
        union all
        select format('alter type %I.%I owner to %I', nspname, typname, {owner_name})
        from pg_type join pg_namespace on pg_namespace.oid = typnamespace left join pg_class on pg_class.oid = typrelid
        where typowner = {former_name}::regrole and nspname !~ '^pg_' and nspname <> 'information_schema'
            and (typtype in ('e', 'd', 'r') or typtype = 'c' and relkind = 'c')
            and not exists (
                select from pg_depend
                where pg_depend.classid = 'pg_type'::regclass and pg_depend.objid = pg_type.oid and deptype = 'e'
            )
        union all
        select format('alter statistics %I.%I owner to %I', nspname, stxname, {owner_name})
        from pg_statistic_ext join pg_namespace on pg_namespace.oid = stxnamespace
        where stxowner = {former_name}::regrole
        union all
        select format('alter large object %s owner to %I', oid, {owner_name})
        from pg_largeobject_metadata
        where lomowner = {former_name}::regrole
    loop
        execute statement;
    end loop;
end $$
