-- The other cohorts of a cohort's dataset, one for each list of images that is not its own: cohort_id, image_list_id, protocol,
-- part. Parameter: cohort_id.
select distinct on (cohort.image_list_id)
    cohort.id as cohort_id, cohort.image_list_id, protocol.name as protocol, cohort.part
from cohort
join cohort as asked on asked.id = :cohort_id and asked.dataset_id = cohort.dataset_id
join protocol on protocol.id = cohort.protocol_id
where cohort.image_list_id <> asked.image_list_id
order by cohort.image_list_id, cohort.id
