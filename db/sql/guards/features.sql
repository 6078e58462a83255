-- Guards: the features of an evaluation are those of all images of its list, each as long as the others, and are never changed.

create or replace function guard_features() returns trigger language plpgsql as $$
declare
    wrong record;
begin
    select evaluation.id, image_list.length, count(*) as n, min(feature.position) as first, max(feature.position) as last,
        count(distinct cardinality(feature.features)) as lengths
    into wrong
    from (select distinct evaluation_id from added) as touched
    join evaluation on evaluation.id = touched.evaluation_id
    join image_list on image_list.id = evaluation.image_list_id
    join feature on feature.evaluation_id = evaluation.id
    group by evaluation.id, image_list.length
    having count(*) <> image_list.length or min(feature.position) <> 1 or max(feature.position) <> image_list.length
        or count(distinct cardinality(feature.features)) <> 1
    limit 1;
    if found then
        raise exception 'features of evaluation %: % of % images, of % lengths', wrong.id, wrong.n, wrong.length, wrong.lengths
            using errcode = 'check_violation';
    end if;
    return null;
end $$;

create or replace trigger guard_features after insert on feature
    referencing new table as added for each statement execute function guard_features();
