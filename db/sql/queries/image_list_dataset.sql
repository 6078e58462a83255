-- One row: a dataset whose pictures an image list is made of, and the crop of the protocol that made it: dataset_id, crop.
-- Parameter: image_list_id.
select cohort.dataset_id, protocol.definition -> 'preprocessing' ->> 'crop' as crop
from cohort
join protocol on protocol.id = cohort.protocol_id
where cohort.image_list_id = :image_list_id
order by cohort.dataset_id
limit 1
