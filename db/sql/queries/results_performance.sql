-- One row per stored AUC of a study, configurations in the study's order; seed NULL is the ensemble; foreign: a model from elsewhere. Parameter: study.
with configuration as (
    select model.trained_on, min(study_model.position) as position, bool_or(model.kind = 'foreign') as foreign
    from study
    join study_model on study_model.study_id = study.id
    join model on model.id = study_model.model_id
    where study.name = :study
    group by model.trained_on
)
select auc_results.trained_on, test_dataset, task, seed, n, n_pos, auc, lower, upper, reason, warning,
    method, configuration.foreign
from auc_results
join configuration on configuration.trained_on = auc_results.trained_on
where auc_results.study = :study
order by task_position, configuration.position, dataset_position, seed nulls first
