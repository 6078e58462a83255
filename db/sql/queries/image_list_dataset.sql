-- One row: a dataset whose pictures an image list is made of, and the protocol that cut it: dataset_id, protocol.
-- Parameter: image_list_id.
select cohort.dataset_id, protocol.name as protocol
from cohort
join protocol on protocol.id = cohort.protocol_id
where cohort.image_list_id = :image_list_id
order by cohort.dataset_id
limit 1
