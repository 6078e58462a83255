-- leaking_cohorts: one row per (training or validation cohort, test cohort of the same protocol, task) that share a patient or
-- an image. task NULL: all rows of the test cohort; else those that are positive for the task.
-- Columns: protocol, train_dataset, train_part, test_dataset, task, n, n_image, n_patient, n_unknown (see table leakage),
-- train_cohort_id, test_cohort_id.
create or replace view leaking_cohorts as
select
    protocol.name as protocol,
    train_dataset.name as train_dataset,
    train.part as train_part,
    test_dataset.name as test_dataset,
    task.name as task,
    leakage.n,
    leakage.n_image,
    leakage.n_patient,
    leakage.n_unknown,
    train.id as train_cohort_id,
    test.id as test_cohort_id
from leakage
join cohort as train on train.id = leakage.train_cohort_id
join cohort as test on test.id = leakage.test_cohort_id
join protocol on protocol.id = test.protocol_id
join dataset as train_dataset on train_dataset.id = train.dataset_id
join dataset as test_dataset on test_dataset.id = test.dataset_id
left join task on task.id = leakage.task_id
where leakage.n_patient > 0;

-- leaking_models: one row per (model, test cohort of its protocol) that shares a patient or an image with what the model was
-- trained or selected on. Columns: model_id, model, trained_on, protocol, test_cohort_id, test_dataset, n, n_image, n_patient
-- (of the training cohort with the largest overlap), warning (every overlap, in words).
create or replace view leaking_models as
select
    model.id as model_id,
    model.name as model,
    model.trained_on,
    leaking_cohorts.protocol,
    leaking_cohorts.test_cohort_id,
    leaking_cohorts.test_dataset,
    max(leaking_cohorts.n) as n,
    max(leaking_cohorts.n_image) as n_image,
    max(leaking_cohorts.n_patient) as n_patient,
    string_agg(
        format(
            '%s of %s %s test rows show an image, %s a patient of %s %s',
            leaking_cohorts.n_image, leaking_cohorts.n, leaking_cohorts.test_dataset, leaking_cohorts.n_patient,
            leaking_cohorts.train_dataset, leaking_cohorts.train_part
        ),
        '; ' order by leaking_cohorts.n_patient desc, leaking_cohorts.train_cohort_id
    ) as warning
from leaking_cohorts
join training_cohort on training_cohort.cohort_id = leaking_cohorts.train_cohort_id
join model on model.id = training_cohort.model_id
where leaking_cohorts.task is null
group by model.id, leaking_cohorts.protocol, leaking_cohorts.test_cohort_id, leaking_cohorts.test_dataset;

-- leaking_evaluations: one row per (evaluation, test cohort) whose scores are flattered by what the model saw in training:
-- results that rest on it carry the warning. Columns: evaluation_id, and those of leaking_models.
create or replace view leaking_evaluations as
select evaluation.id as evaluation_id, leaking_models.*
from leaking_models
join cohort on cohort.id = leaking_models.test_cohort_id
join evaluation on evaluation.model_id = leaking_models.model_id and evaluation.image_list_id = cohort.image_list_id;

-- leak_warning(evaluations, cohorts…): what the models of these evaluations saw of these test cohorts in training, in words;
-- NULL where nothing is known of it.
create or replace function leak_warning(evaluations integer[], variadic cohorts integer[])
returns text
language sql stable parallel safe
return (
    select string_agg(distinct leaking_evaluations.warning, '; ')
    from leaking_evaluations
    where leaking_evaluations.evaluation_id = any(evaluations) and leaking_evaluations.test_cohort_id = any(cohorts)
);
