-- One row per model that has scored an image list: model, evaluation_id. Parameter: image_list_id.
select model.name as model, evaluation.id as evaluation_id
from evaluation
join model on model.id = evaluation.model_id
where evaluation.image_list_id = :image_list_id
order by model.id
