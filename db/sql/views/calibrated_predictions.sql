-- calibrated_predictions: `predictions` read through the calibrations of their models. One row per (calibration, dataset, cohort
-- part, image) that the model scored; the stored logits stay as they are.
-- Columns: model, trained_on, task, calibration (version), method, fitted_on (dataset), fitted_here (whether the map was fitted on
-- this list of images: then it flatters), test_dataset, part, protocol, image, patient, label, logit, probability (as stored),
-- calibrated_logit, calibrated_probability. Name model, task and calibration: joins are as in `predictions`.
create or replace view calibrated_predictions as
select
    model.name as model,
    model.trained_on,
    task.name as task,
    recalibration.version as calibration,
    recalibration.method,
    home_dataset.name as fitted_on,
    home.image_list_id = cohort.image_list_id as fitted_here,
    dataset.name as test_dataset,
    cohort.part,
    protocol.name as protocol,
    image.name as image,
    image.patient,
    nullif(score.label, -1::smallint) as label,
    nullif(score.logit, 'NaN') as logit,
    expit(score.logit) as probability,
    score.calibrated as calibrated_logit,
    expit(score.calibrated) as calibrated_probability
from recalibration
join evaluation on evaluation.model_id = recalibration.model_id
join model on model.id = recalibration.model_id
join cohort on cohort.image_list_id = evaluation.image_list_id
    and (model.protocol_id = cohort.protocol_id or model.protocol_id is null)
join prediction on prediction.evaluation_id = evaluation.id and prediction.task_id = recalibration.task_id
join listed_image on listed_image.image_list_id = evaluation.image_list_id and listed_image.piece = prediction.piece
left join task on task.id = recalibration.task_id
left join dataset on dataset.id = cohort.dataset_id
left join cohort as home on home.id = recalibration.cohort_id
left join dataset as home_dataset on home_dataset.id = home.dataset_id
left join image on image.id = listed_image.image_id
left join protocol on protocol.id = cohort.protocol_id
left join cohort_label_piece as known
    on known.cohort_id = cohort.id and known.task_id = prediction.task_id and known.piece = prediction.piece
left join lateral (
    select
        stored.logit,
        known.labels[listed_image.place] as label,
        recalibrated(
            stored.logit, recalibration.intercept, recalibration.slope, recalibration.knots, recalibration.probabilities
        ) as calibrated
    from (select prediction.logits[listed_image.place]::double precision as logit) as stored
) as score on true;
