-- One row per (image, cohort that it is in): image_id, protocol, dataset, part. Parameter: image_ids.
select listed.image_id, protocol.name as protocol, dataset.name as dataset, cohort.part
from cohort
join image_list on image_list.id = cohort.image_list_id
cross join lateral unnest(image_list.image_ids) as listed (image_id)
join protocol on protocol.id = cohort.protocol_id
join dataset on dataset.id = cohort.dataset_id
where listed.image_id = any(:image_ids)
order by protocol.name, dataset.name, cohort.part
