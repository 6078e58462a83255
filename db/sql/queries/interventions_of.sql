-- One row per intervention on some evaluations: intervention_id, evaluation_id, image_list_id, target_list_id, kind, changes, images,
-- seed, version, pictures. Parameter: ids (evaluations).
select made.id as intervention_id, made.evaluation_id, evaluation.image_list_id, made.target_list_id, made.kind, made.changes,
    made.images, made.seed, made.version, made.pictures
from intervention_evaluation as made
join evaluation on evaluation.id = made.evaluation_id
where made.evaluation_id = any(:ids)
order by made.id
