-- intervention_predictions: one row per (model, test cohort A, target B, kind, image of A, task): its score as it is, and changed.
-- Columns: model, seed, trained_on, test_dataset (A), part, target_dataset (B), kind, image, patient, view, age, sex, task,
-- logit_before, logit_after, probability_before, probability_after, label, protocol. Images that were not drawn are left out.
create or replace view intervention_predictions as
select
    model.name as model,
    model.seed,
    model.trained_on,
    dataset.name as test_dataset,
    cohort.part,
    target.name as target_dataset,
    made.kind,
    image.name as image,
    image.patient,
    image.view,
    image.age,
    image.sex,
    task.name as task,
    nullif(prediction.logits[listed_image.place], 'NaN') as logit_before,
    changed.logit as logit_after,
    expit(prediction.logits[listed_image.place]) as probability_before,
    expit(changed.logit) as probability_after,
    nullif(known.labels[listed_image.place], -1::smallint) as label,
    protocol.name as protocol
from intervention_evaluation as made
join evaluation on evaluation.id = made.evaluation_id
join model on model.id = evaluation.model_id
join cohort on cohort.image_list_id = evaluation.image_list_id
    and (model.protocol_id = cohort.protocol_id or model.protocol_id is null)
join cohort as of_target on of_target.image_list_id = made.target_list_id
    and of_target.protocol_id = cohort.protocol_id and of_target.part = cohort.part
join dataset on dataset.id = cohort.dataset_id
join dataset as target on target.id = of_target.dataset_id
join protocol on protocol.id = cohort.protocol_id
join intervention_score as score on score.intervention_id = made.id
join task on task.id = score.task_id
join prediction on prediction.evaluation_id = evaluation.id and prediction.task_id = score.task_id
join listed_image on listed_image.image_list_id = evaluation.image_list_id and listed_image.piece = prediction.piece
join image on image.id = listed_image.image_id
left join cohort_label_piece as known
    on known.cohort_id = cohort.id and known.task_id = score.task_id and known.piece = prediction.piece
cross join lateral (
    select nullif(score.logits[listed_image.piece * piece_length() + listed_image.place], 'NaN') as logit
) as changed
where changed.logit is not null;
