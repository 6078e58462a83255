-- One row per model and test cohort that share an image or a patient; as view leaking_models: model, trained_on, protocol,
-- test_dataset, n, n_image, n_patient, warning.
select model, trained_on, protocol, test_dataset, n, n_image, n_patient, warning
from leaking_models
order by model_id, test_cohort_id
