-- Takes from everybody what PostgreSQL lets everybody do and nobody here needs: programs in DO blocks, large objects,
-- messages, ending others' sessions, and locks that could hold up writers. Run as a superuser. Names: owner, writer.
revoke usage on language plpgsql from public;
grant usage on language plpgsql to {owner};
do $$
declare
    routine regprocedure;
begin
    for routine in
        select oid::regprocedure from pg_proc
        where pronamespace = 'pg_catalog'::regnamespace and (
            proname ~ '^(lo_|pg_advisory_|pg_try_advisory_)'
            or proname in (
                'loread', 'lowrite', 'pg_notify', 'pg_terminate_backend', 'pg_cancel_backend', 'pg_logical_emit_message',
                'pg_export_snapshot'
            )
        )
    loop
        execute format('revoke execute on function %s from public', routine);
        if routine::text ~ 'advisory' then
            execute format('grant execute on function %s to %I, %I', routine, {owner_name}, {writer_name});
        elsif routine::text ~ 'export_snapshot' then  -- of a backup
            execute format('grant execute on function %s to %I', routine, {owner_name});
        end if;
    end loop;
end $$
