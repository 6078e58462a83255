-- cohort_images: cohorts with images that their dataset does not have, or with an image twice in a protocol that splits by patient.
-- Columns: dataset, protocol, part, foreign_images, repeated.
-- Then: restore a backup from before; a cohort is frozen and can't be repaired.
select dataset.name as dataset, protocol.name as protocol, cohort.part, found.foreign_images, found.repeated
from cohort
join dataset on dataset.id = cohort.dataset_id
join protocol on protocol.id = cohort.protocol_id
join image_list as own on own.id = cohort.image_list_id
join image_list as whole on whole.id = dataset.image_list_id
cross join lateral (
    select count(*) filter (where of_dataset.id is null) as foreign_images,
        case when protocol.definition #>> '{split,method}' = 'patient' then count(*) - count(distinct listed.id) else 0 end as repeated
    from unnest(own.image_ids) as listed (id)
    left join (select distinct id from unnest(whole.image_ids) as id) as of_dataset on of_dataset.id = listed.id
) as found
where found.foreign_images > 0 or found.repeated > 0
