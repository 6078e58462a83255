-- One row per pair of cohorts that share an image or a patient, and per task with positive rows among them; as view
-- leaking_cohorts: protocol, train_dataset, train_part, test_dataset, task, n, n_image, n_patient, n_unknown.
select protocol, train_dataset, train_part, test_dataset, task, n, n_image, n_patient, n_unknown
from leaking_cohorts
order by protocol, train_cohort_id, test_cohort_id, task nulls first
