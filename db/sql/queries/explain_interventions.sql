-- One row per intervention that measured what a model loses on images made to look like those of a dataset: train_dataset (whose
-- images), test_dataset, task, trained_on, kind, before, after, loss, lower, upper, q, n, n_pos, changes, reason.
-- Parameters: study, trained_on, test_dataset, task.
select train_dataset, test_dataset, task, trained_on, kind, before, after, loss, lower, upper, q, n, n_pos, changes, reason
from intervention_results
where study = :study and trained_on = :trained_on and test_dataset = :test_dataset and task = :task
order by train_position, position
