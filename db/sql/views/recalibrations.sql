-- recalibrations: one row per calibration: a map of a model's logits for a finding, fitted on a dataset's cohort.
-- Columns: model, trained_on, task, calibration (its version, counted for each model and task), method, fitted_on (dataset),
-- protocol, part, n, n_pos (images that it was fitted on), intercept, slope (of intercept and logistic), knots, probabilities (of
-- isotonic), fingerprint (of what it was fitted on and how), fitted_at.
create or replace view recalibrations as
select
    model.name as model,
    model.trained_on,
    task.name as task,
    recalibration.version as calibration,
    recalibration.method,
    dataset.name as fitted_on,
    protocol.name as protocol,
    cohort.part,
    recalibration.n,
    recalibration.n_pos,
    recalibration.intercept,
    recalibration.slope,
    recalibration.knots,
    recalibration.probabilities,
    recalibration.fingerprint,
    recalibration.fitted_at
from recalibration
join model on model.id = recalibration.model_id
join task on task.id = recalibration.task_id
join cohort on cohort.id = recalibration.cohort_id
join dataset on dataset.id = cohort.dataset_id
join protocol on protocol.id = cohort.protocol_id;
