-- One row per stored kappa of a study, configurations in the study's order. Parameter: study.
with configuration as (
    select model.trained_on, min(study_model.position) as position
    from study
    join study_model on study_model.study_id = study.id
    join model on model.id = study_model.model_id
    where study.name = :study
    group by model.trained_on
)
select test_dataset, task, reference, agreement_results.trained_on, rule, n, n_pos, kappa, lower, upper, pabak, tau,
    reason, warning
from agreement_results
join configuration on configuration.trained_on = agreement_results.trained_on
where study = :study
order by task_position, dataset_position, configuration.position, rule
