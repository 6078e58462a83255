-- Which functions of PostgreSQL nobody here needs to be free for everybody: a condition on pg_proc, for functions.sql and
-- functions_as_made.sql.
pronamespace = 'pg_catalog'::regnamespace and (
    proname ~ '^(lo_|pg_advisory_|pg_try_advisory_)'
    or proname in (
        'loread', 'lowrite', 'pg_notify', 'pg_terminate_backend', 'pg_cancel_backend', 'pg_logical_emit_message',
        'pg_export_snapshot'
    )
)
