-- Gives back what functions.sql took, so that a dump says nothing about functions that the next version of PostgreSQL
-- may not have. What initdb itself closes stays closed. Run as a superuser. Names: owner, writer. routines: the
-- condition of routines.sql.
do $$
declare
    routine regprocedure;
begin
    for routine in
        select oid::regprocedure from pg_proc
        where {routines}
        and not exists (
            select from pg_init_privs where objoid = pg_proc.oid and classoid = 'pg_proc'::regclass
        )
    loop
        execute format('revoke execute on function %s from %I, %I', routine, {owner_name}, {writer_name});
        execute format('grant execute on function %s to public', routine);
    end loop;
end $$
