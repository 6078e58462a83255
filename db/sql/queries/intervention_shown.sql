-- One row per result of an intervention of a study: model, from, to, task, kind, before, after, loss, lower, upper, q, note.
-- Parameters: study; trained_on, train_dataset, test_dataset ('' is each).
select trained_on as model, train_dataset as "from", test_dataset as "to", task, kind, before, after, loss, lower, upper, q,
    reason as note
from intervention_results
where study = :study and :trained_on in ('', trained_on) and :train_dataset in ('', train_dataset)
    and :test_dataset in ('', test_dataset)
order by trained_on, train_position, dataset_position, task_position, position
