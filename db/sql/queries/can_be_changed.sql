-- One row per evaluation: evaluation_id, model_id, image_list_id, has_file (whether the model's network is here, not just its scores).
-- Parameter: ids (evaluations).
select evaluation.id as evaluation_id, model.id as model_id, evaluation.image_list_id, model.mlflow_model is not null as has_file
from evaluation
join model on model.id = evaluation.model_id
where evaluation.id = any(:ids)
