-- Stores a calibration under the next version of its model and finding; nothing where one of this fingerprint is there.
-- Parameters: model_id, task_id, cohort_id, method, intercept, slope, knots, probabilities, n, n_pos, fingerprint.
insert into recalibration (
    model_id, task_id, version, cohort_id, method, intercept, slope, knots, probabilities, n, n_pos, fingerprint
)
select
    :model_id, :task_id,
    coalesce((select max(version) from recalibration where model_id = :model_id and task_id = :task_id), 0) + 1,
    :cohort_id, :method, :intercept, :slope, :knots, :probabilities, :n, :n_pos, :fingerprint
on conflict (model_id, task_id, fingerprint) do nothing
