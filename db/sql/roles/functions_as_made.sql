-- Gives back what functions.sql took, so that a dump says nothing about functions that the next version of PostgreSQL
-- may not have. What initdb itself closes stays closed. Run as a superuser. Names: owner, writer.
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
        and not exists (
            select from pg_init_privs where objoid = pg_proc.oid and classoid = 'pg_proc'::regclass
        )
    loop
        execute format('revoke execute on function %s from %I, %I', routine, {owner_name}, {writer_name});
        execute format('grant execute on function %s to public', routine);
    end loop;
end $$
