-- Guards: image lists, cohorts and their labels are never changed, and what belongs to them is never taken away.

create or replace function guard_frozen() returns trigger language plpgsql as $$
begin
    raise exception '% rows are frozen: make a new one instead of a % of this one', tg_table_name, lower(tg_op)
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
