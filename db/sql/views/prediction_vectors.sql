-- prediction_vectors: the same scores as in `predictions`, a vector each. One row per (model, dataset, cohort part, task,
-- protocol) whose output was trained: what is there, how much of it, and for what is computed of a whole cohort.
-- Columns: model, seed, trained_on, test_dataset, part, task, protocol, n (images), n_pos, n_neg (labelled images, 0 where the
-- dataset does not speak of the task), logits (NaN: not scored), labels (1, 0, NULL; NULL as a whole where the dataset does not
-- speak of the task), image_list_id. Both vectors are in the order of the image list.
create or replace view prediction_vectors as
select
    model.name as model,
    model.seed,
    model.trained_on,
    dataset.name as test_dataset,
    cohort.part,
    task.name as task,
    protocol.name as protocol,
    image_list.length as n,
    coalesce(cohort_label.n_pos, 0) as n_pos,
    coalesce(cohort_label.n_neg, 0) as n_neg,
    prediction_vector(prediction.evaluation_id, prediction.task_id) as logits,
    cohort_label.labels,
    image_list.id as image_list_id
from evaluation
join cohort on cohort.image_list_id = evaluation.image_list_id
join model on model.id = evaluation.model_id and (model.protocol_id = cohort.protocol_id or model.protocol_id is null)
join image_list on image_list.id = evaluation.image_list_id
join dataset on dataset.id = cohort.dataset_id
join protocol on protocol.id = cohort.protocol_id
join prediction on prediction.evaluation_id = evaluation.id and prediction.piece = 0
join task on task.id = prediction.task_id
left join cohort_label on cohort_label.cohort_id = cohort.id and cohort_label.task_id = prediction.task_id;
