-- One row: image_ids, the images of a dataset in order, as bytes of a vector. Parameter: dataset_id.
select array_send(image_list.image_ids) as image_ids
from dataset join image_list on image_list.id = dataset.image_list_id
where dataset.id = %(dataset_id)s
