-- One row per AUC of a model of a study on a test cohort: model, kind, mlflow_run_id (NULL where only its scores are here),
-- mlflow_model, mlflow_version, dataset, cohort_hash, n_images, task, auc (as in auc_results; undefined ones are left out).
-- Parameter: study.
select model.name as model, model.kind, model.mlflow_run_id, model.mlflow_model, model.mlflow_version, dataset.name as dataset,
    cohort.content_hash as cohort_hash, image_list.length as n_images, task.name as task, auc.auc
from study
join analysis on analysis.study_id = study.id and analysis.name = 'performance'
join auc on auc.analysis_id = analysis.id and auc.auc is not null
join study_model on study_model.study_id = study.id
join model on model.id = study_model.model_id and model.trained_on = auc.trained_on
    and (model.kind = 'foreign' and auc.seed is null or model.seed = auc.seed)
join cohort on cohort.id = auc.cohort_id
join dataset on dataset.id = cohort.dataset_id
join image_list on image_list.id = cohort.image_list_id
join task on task.id = auc.task_id
where study.name = :study
order by study_model.position, dataset.id, task.id
