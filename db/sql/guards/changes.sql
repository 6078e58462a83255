-- Guards: each statement that writes what is known of images or of studies adds a row to `change`, so that whoever keeps in
-- memory what it has read of them sees that it is old with the commit (queries/changes_counted.sql). New images and patients change
-- nothing that is known of others: image lists are never changed. As the owner, so that whoever may write a table need not be
-- allowed to write this one.

create or replace function guard_change() returns trigger language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
begin
    execute format('insert into %I.change (subject) select unnest($1)', tg_table_schema) using tg_argv;
    return null;
end $$;

create or replace trigger guard_change after update or delete or truncate on image
    for each statement execute function guard_change('images');
create or replace trigger guard_change after update or delete or truncate on patient
    for each statement execute function guard_change('images');
create or replace trigger guard_change after insert or update or delete or truncate on native_column
    for each statement execute function guard_change('images');
create or replace trigger guard_change after insert or update or delete or truncate on site
    for each statement execute function guard_change('images', 'studies');
create or replace trigger guard_change after insert or update or delete or truncate on dataset
    for each statement execute function guard_change('images', 'studies');
create or replace trigger guard_change after insert or update or delete or truncate on cohort
    for each statement execute function guard_change('images', 'studies');
create or replace trigger guard_change after insert or update or delete or truncate on cohort_label
    for each statement execute function guard_change('images', 'studies');
create or replace trigger guard_change after insert or update or delete or truncate on task
    for each statement execute function guard_change('studies');
create or replace trigger guard_change after insert or update or delete or truncate on study
    for each statement execute function guard_change('studies');
create or replace trigger guard_change after insert or update or delete or truncate on study_dataset
    for each statement execute function guard_change('studies');
create or replace trigger guard_change after insert or update or delete or truncate on study_task
    for each statement execute function guard_change('studies');
create or replace trigger guard_change after insert or update or delete or truncate on study_model
    for each statement execute function guard_change('studies');
create or replace trigger guard_change after insert or update or delete or truncate on model
    for each statement execute function guard_change('studies');
create or replace trigger guard_change after insert or update or delete or truncate on model_task
    for each statement execute function guard_change('studies');
create or replace trigger guard_change after insert or update or delete or truncate on training_cohort
    for each statement execute function guard_change('studies');
create or replace trigger guard_change after insert or update or delete or truncate on evaluation
    for each statement execute function guard_change('studies');
create or replace trigger guard_change after insert or update or delete or truncate on intervention_evaluation
    for each statement execute function guard_change('studies');
