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
where leakage.n_patient > 0 and leakage.model_id is null;

-- leaking_models: one row per (model, test cohort of its protocol) that shares a patient or an image with what the model was
-- trained or selected on (the images of its cohorts that it used, where it used some of them); for a foreign model, with any
-- image of the datasets that it is said to be trained on, and test cohorts of every protocol. Columns: model_id, model,
-- trained_on, protocol, test_cohort_id, test_dataset, n, n_image, n_patient (of the training cohort with the largest overlap),
-- warning (every overlap, in words).
create or replace view leaking_models as
with overlap as (
    select training_cohort.model_id, protocol.name as protocol, test.id as test_cohort_id, test_dataset.name as test_dataset,
        leakage.n, leakage.n_image, leakage.n_patient,
        format('%s %s', train_dataset.name, train.part) as training, train.id as position
    from training_cohort
    join leakage on leakage.train_cohort_id = training_cohort.cohort_id and leakage.task_id is null and leakage.n_patient > 0
        and leakage.model_id is not distinct from
            case when training_cohort.image_list_id is null then null else training_cohort.model_id end
    join cohort as train on train.id = leakage.train_cohort_id
    join cohort as test on test.id = leakage.test_cohort_id
    join protocol on protocol.id = test.protocol_id
    join dataset as train_dataset on train_dataset.id = train.dataset_id
    join dataset as test_dataset on test_dataset.id = test.dataset_id
    union all
    select foreign_training.model_id, protocol.name, cohort.id, test_dataset.name,
        foreign_leakage.n, foreign_leakage.n_image, foreign_leakage.n_patient,
        format('%s, which it is said to be trained on', trained.name), trained.id
    from foreign_training
    join dataset as trained on trained.name = foreign_training.dataset
    join foreign_leakage on foreign_leakage.dataset_id = trained.id and foreign_leakage.n_patient > 0
    join cohort on cohort.id = foreign_leakage.test_cohort_id
    join protocol on protocol.id = cohort.protocol_id
    join dataset as test_dataset on test_dataset.id = cohort.dataset_id
)
select
    model.id as model_id,
    model.name as model,
    model.trained_on,
    overlap.protocol,
    overlap.test_cohort_id,
    overlap.test_dataset,
    max(overlap.n) as n,
    max(overlap.n_image) as n_image,
    max(overlap.n_patient) as n_patient,
    string_agg(
        format(
            '%s of %s %s test rows show an image, %s a patient of %s',
            overlap.n_image, overlap.n, overlap.test_dataset, overlap.n_patient, overlap.training
        ),
        '; ' order by overlap.n_patient desc, overlap.position
    ) as warning
from overlap
join model on model.id = overlap.model_id
group by model.id, overlap.protocol, overlap.test_cohort_id, overlap.test_dataset;

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
