-- Guards: image lists, cohorts and their labels are never changed, and what belongs to them is never taken away, but for the
-- removal of a whole dataset (queries/remove_dataset.sql), which says so by a setting of its transaction. Nor is what
-- gives a vector its meaning: the identity of an image, the image list of a dataset, the model and image list of an evaluation.

create or replace function guard_frozen() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and current_setting('xray.removing', true) = 'on' then
        return old;
    end if;
    raise exception '% rows are frozen: % is refused, make a new one instead', tg_table_name, lower(tg_op)
        using errcode = 'restrict_violation';
end $$;

create or replace trigger guard_frozen before update or delete on image_list
    for each row execute function guard_frozen();
create or replace trigger guard_frozen_truncate before truncate on image_list
    for each statement execute function guard_frozen();
create or replace trigger guard_frozen before update or delete on cohort
    for each row execute function guard_frozen();
create or replace trigger guard_frozen_truncate before truncate on cohort
    for each statement execute function guard_frozen();
create or replace trigger guard_frozen before update or delete on cohort_label
    for each row execute function guard_frozen();
create or replace trigger guard_frozen_truncate before truncate on cohort_label
    for each statement execute function guard_frozen();
create or replace trigger guard_frozen before update or delete on cohort_label_piece
    for each row execute function guard_frozen();
create or replace trigger guard_frozen_truncate before truncate on cohort_label_piece
    for each statement execute function guard_frozen();
create or replace trigger guard_frozen before update or delete on listed_image
    for each row execute function guard_frozen();
create or replace trigger guard_frozen_truncate before truncate on listed_image
    for each statement execute function guard_frozen();
create or replace trigger guard_frozen before update on prediction
    for each row execute function guard_frozen();
create or replace trigger guard_frozen_truncate before truncate on prediction
    for each statement execute function guard_frozen();
create or replace trigger guard_frozen before update on recalibration
    for each row execute function guard_frozen();
create or replace trigger guard_frozen before update on reread_plan
    for each row execute function guard_frozen();
create or replace trigger guard_frozen before update on intervention_evaluation
    for each row execute function guard_frozen();
create or replace trigger guard_frozen before update on intervention_score
    for each row execute function guard_frozen();
create or replace trigger guard_frozen before update or delete on change
    for each row execute function guard_frozen();
create or replace trigger guard_frozen_truncate before truncate on change
    for each statement execute function guard_frozen();
create or replace trigger guard_frozen before update on feature
    for each row execute function guard_frozen();
create or replace trigger guard_frozen before update on classifier
    for each row execute function guard_frozen();
create or replace trigger guard_frozen before update of id, model_id, image_list_id on evaluation
    for each row execute function guard_frozen();
create or replace trigger guard_frozen before update of id, site_id, image_list_id on dataset
    for each row execute function guard_frozen();
create or replace trigger guard_frozen before update of id, site_id, name on image
    for each row execute function guard_frozen();
create or replace trigger guard_frozen_truncate before truncate on image
    for each statement execute function guard_frozen();

create or replace function guard_image_kept() returns trigger language plpgsql as $$
declare
    held text;
begin
    select gone.name into held
    from image_list cross join lateral unnest(image_list.image_ids) as listed (id)
    join gone on gone.id = listed.id
    limit 1;
    if held is not null then
        raise exception 'image %: an image list holds it, so it can''t be deleted', held using errcode = 'restrict_violation';
    end if;
    return null;
end $$;

create or replace trigger guard_image_kept after delete on image
    referencing old table as gone for each statement execute function guard_image_kept();
