-- One row per cohort: dataset, protocol, version, part, images, content_hash.
select
    dataset.name as dataset, protocol.name as protocol, protocol.version, cohort.part, image_list.length as images,
    cohort.content_hash
from cohort
join dataset on dataset.id = cohort.dataset_id
join protocol on protocol.id = cohort.protocol_id
join image_list on image_list.id = cohort.image_list_id
order by dataset.id, protocol.id, cohort.id
