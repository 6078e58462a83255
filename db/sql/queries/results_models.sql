-- One row per model of a study, in its order; a foreign one was trained nowhere here: it has neither trained_on, seed nor epoch.
-- Parameter: study.
select model.name as model, case when model.kind = 'trained' then model.trained_on end as trained_on, model.seed,
    model.best_epoch + 1 as best_epoch, round(model.validation_auc::numeric, 3)::float as validation_auc, model.mlflow_run_id
from study
join study_model on study_model.study_id = study.id
join model on model.id = study_model.model_id
where study.name = :study
order by study_model.position
