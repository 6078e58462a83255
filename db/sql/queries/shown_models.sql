-- One row per model: model_id, model, trained_on, seed, validation_auc, mlflow_run_id. Parameter: ids.
select model.id as model_id, model.name as model, model.trained_on, model.seed, model.validation_auc, model.mlflow_run_id
from model
where model.id = any(:ids)
order by model.id
