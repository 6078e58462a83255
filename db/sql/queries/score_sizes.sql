-- One row: scores (that are stored, by the lengths of the image lists), bytes (of the table prediction and its indexes).
select coalesce(sum(image_list.length * stored.tasks), 0)::bigint as scores, pg_total_relation_size('prediction') as bytes
from evaluation
join image_list on image_list.id = evaluation.image_list_id
cross join lateral (
    select count(distinct task_id) as tasks from prediction
    where prediction.evaluation_id = evaluation.id and prediction.logits is not null
) as stored
