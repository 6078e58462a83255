-- Guards: each statement that writes what is known of images or of studies adds a row to `change`, so that whoever keeps in
-- memory what it has read of them sees that it is old with the commit (queries/changes_counted.sql). New images change nothing
-- that is known of others: image lists are never changed.

create or replace function guard_change() returns trigger language plpgsql as $$
begin
    insert into change (subject) values (tg_argv[0]);
    return null;
end $$;

create or replace trigger guard_change after update or delete or truncate on image
    for each statement execute function guard_change('images');
create or replace trigger guard_change after update or delete or truncate on patient
    for each statement execute function guard_change('images');
create or replace trigger guard_change after insert or update or delete or truncate on native_column
    for each statement execute function guard_change('images');
create or replace trigger guard_change after insert or update or delete or truncate on site
    for each statement execute function guard_change('studies');
create or replace trigger guard_change after insert or update or delete or truncate on dataset
    for each statement execute function guard_change('studies');
create or replace trigger guard_change after insert or update or delete or truncate on cohort
    for each statement execute function guard_change('studies');
create or replace trigger guard_change after insert or update or delete or truncate on cohort_label
    for each statement execute function guard_change('studies');
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
