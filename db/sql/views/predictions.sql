-- predictions: the shared relation. One row per (model, dataset, cohort part, image, task) whose output was trained; cohorts
-- are those of the model's protocol, for a foreign model those of every protocol.
-- Columns: model, seed, trained_on, test_dataset, part, image, patient, view, age, sex, task, logit, probability, label,
-- protocol. seed is NULL for a foreign model, whose trained_on is its own name.
-- logit and probability are NULL for an image that could not be scored, label where the dataset says nothing.
--
-- How it is quick, for 200 million rows (docs/decisions/0024):
-- * every join is one of keys, so that a filter on any column is a start; the first eight relations are planned together.
-- * what is only looked up is joined from the left and falls away where a query does not name its columns.
-- * `score` makes the logit and the label of a row as soon as their pieces are there; otherwise each row would carry its two
--   pieces of a page to the end, through sorts and hash tables.
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
    nullif(score.logit, 'NaN') as logit,
    expit(score.logit) as probability,
    nullif(score.label, -1::smallint) as label,
    protocol.name as protocol
from evaluation
join cohort on cohort.image_list_id = evaluation.image_list_id
join model on model.id = evaluation.model_id and (model.protocol_id = cohort.protocol_id or model.protocol_id is null)
left join dataset on dataset.id = cohort.dataset_id
join prediction on prediction.evaluation_id = evaluation.id
left join task on task.id = prediction.task_id
join listed_image on listed_image.image_list_id = evaluation.image_list_id and listed_image.piece = prediction.piece
left join image on image.id = listed_image.image_id
left join protocol on protocol.id = cohort.protocol_id
left join cohort_label_piece as known
    on known.cohort_id = cohort.id and known.task_id = prediction.task_id and known.piece = prediction.piece
left join lateral (
    select prediction.logits[listed_image.place] as logit, known.labels[listed_image.place] as label
) as score on true;
