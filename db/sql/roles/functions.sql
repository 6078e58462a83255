-- Takes from everybody what PostgreSQL lets everybody do and nobody here needs: programs in DO blocks, large objects,
-- messages, ending others' sessions, and locks that could hold up writers. Run as a superuser. Names: owner, writer. routines: the condition of routines.sql.
revoke usage on language plpgsql from public;
grant usage on language plpgsql to {owner};
do $$
declare
    routine regprocedure;
begin
    for routine in
        select oid::regprocedure from pg_proc
        where {routines}
    loop
        execute format('revoke execute on function %s from public', routine);
        if routine::text ~ 'advisory' then
            execute format('grant execute on function %s to %I, %I', routine, {owner_name}, {writer_name});
        elsif routine::text ~ 'export_snapshot' then  -- of a backup
            execute format('grant execute on function %s to %I', routine, {owner_name});
        end if;
    end loop;
end $$
