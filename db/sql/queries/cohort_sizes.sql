-- One row: images and patients of a dataset's cohorts under a protocol. Parameters: dataset_id, protocol, part (NULL for all).
select count(*)::integer as images, count(distinct image.patient)::integer as patients
from cohort
join protocol on protocol.id = cohort.protocol_id
join image_list on image_list.id = cohort.image_list_id
cross join lateral unnest(image_list.image_ids) as listed (image_id)
join image on image.id = listed.image_id
where cohort.dataset_id = :dataset_id and protocol.name = :protocol and (cast(:part as text) is null or cohort.part = :part)
