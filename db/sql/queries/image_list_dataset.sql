-- One row: a dataset whose pictures an image list is made of, and the crop of a model's protocol: dataset_id, crop
-- (NULL: a foreign model has no protocol).
-- Parameters: image_list_id, model_id.
select listed.dataset_id, protocol.definition -> 'preprocessing' ->> 'crop' as crop
from (
    select dataset_id, image_list_id from cohort
    union
    select id, image_list_id from dataset
) as listed
join model on model.id = :model_id
left join protocol on protocol.id = model.protocol_id
where listed.image_list_id = :image_list_id
order by listed.dataset_id
limit 1
