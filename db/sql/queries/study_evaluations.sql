-- One row per (model of a study, test cohort of the study) that is scored: evaluation_id, trained_on, seed, kind,
-- cohort_id, task_ids (of trained outputs), datasets (that the model was trained on), partial (only some of their images or
-- tasks), changed (whether there are interventions on it). A foreign model has no seed and no datasets.
-- Parameter: study_id.
with own as materialized ( -- a row per model, and not per evaluation
    select
        model.id,
        model.trained_on,
        model.seed,
        model.kind,
        coalesce(model.protocol_id, study.protocol_id) as protocol_id,
        study_model.position,
        array(select task_id from model_task where model_task.model_id = model.id order by task_id) as task_ids,
        array(
            select distinct trained.name
            from training_cohort
            join cohort as part on part.id = training_cohort.cohort_id
            join dataset as trained on trained.id = part.dataset_id
            where training_cohort.model_id = model.id
        ) as datasets,
        coalesce(model.configuration -> 'tasks' <> '[]' or model.configuration -> 'where' <> '[]', false) as partial
    from study_model
    join study on study.id = study_model.study_id
    join model on model.id = study_model.model_id
    where study_model.study_id = :study_id
)
select
    evaluation.id as evaluation_id,
    own.trained_on,
    own.seed,
    own.kind,
    cohort.id as cohort_id,
    own.task_ids,
    own.datasets,
    own.partial,
    exists (select from intervention_evaluation where intervention_evaluation.evaluation_id = evaluation.id) as changed
from own
join study_dataset on study_dataset.study_id = :study_id
join cohort on cohort.dataset_id = study_dataset.dataset_id and cohort.part = 'test' and cohort.protocol_id = own.protocol_id
join evaluation on evaluation.model_id = own.id and evaluation.image_list_id = cohort.image_list_id
order by own.position, own.seed, study_dataset.position
