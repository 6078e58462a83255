-- One row per calibration of these models: model, task, calibration (its version), method, fitted_on, n, n_pos, fitted_at.
-- Parameters: names (of models), task (NULL: every one).
select model, task, calibration, method, fitted_on, n, n_pos, fitted_at
from recalibrations
where model = any(:names) and task = coalesce(cast(:task as text), task)
order by model, task, calibration
