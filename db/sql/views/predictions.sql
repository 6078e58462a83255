-- predictions: the shared relation. One row per (model, dataset, cohort part, image, task) whose output was trained; cohorts
-- are those of the model's protocol, for a foreign model those of every protocol.
-- Columns: model, seed, trained_on, test_dataset, part, image, patient, view, age, sex, task, logit, probability, label,
-- protocol. seed is NULL for a foreign model, whose trained_on is its own name.
-- logit and probability are NULL for an image that could not be scored, label where the dataset says nothing.
create or replace view predictions as
select
    model.name as model,
    model.seed,
    model.trained_on,
    dataset.name as test_dataset,
    cohort.part,
    image.name as image,
    image.patient,
    image.view,
    image.age,
    image.sex,
    task.name as task,
    nullif(scored.logit, 'NaN') as logit,
    expit(scored.logit) as probability,
    scored.label,
    protocol.name as protocol
from evaluation
join model on model.id = evaluation.model_id
join image_list on image_list.id = evaluation.image_list_id
join cohort on cohort.image_list_id = image_list.id and cohort.protocol_id = coalesce(model.protocol_id, cohort.protocol_id)
join protocol on protocol.id = cohort.protocol_id
join dataset on dataset.id = cohort.dataset_id
join prediction on prediction.evaluation_id = evaluation.id and prediction.logits is not null
join task on task.id = prediction.task_id
left join cohort_label on cohort_label.cohort_id = cohort.id and cohort_label.task_id = prediction.task_id
cross join lateral rows from (
    elements(image_list.image_ids), elements(prediction.logits), elements(cohort_label.labels)
) as scored (image_id, logit, label)
join image on image.id = scored.image_id;
