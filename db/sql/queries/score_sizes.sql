-- One row: scores (that are stored, by the lengths of the image lists), bytes (of the table prediction and its indexes).
select coalesce(sum(image_list.length), 0)::bigint as scores, pg_total_relation_size('prediction') as bytes
from prediction
join evaluation on evaluation.id = prediction.evaluation_id
join image_list on image_list.id = evaluation.image_list_id
where prediction.logits is not null
