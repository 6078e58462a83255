-- One row per (finding, test dataset) that a model scored: task, test_dataset, protocol, n, n_pos, n_neg; from its results where
-- it was analysed, else NULL: auc, lower, upper, reason, warning, verdict, basis; of a model from elsewhere the verdict from its
-- home, or from where it loses most. Parameters: models, study, trained_on, seed.
-- Each part is planned by itself: one plan of all four views' joins takes the planner half a second.
with cells as materialized (
    select task, test_dataset, protocol, max(n) as n, max(n_pos) as n_pos, max(n_neg) as n_neg
    from prediction_vectors
    where model = any(%(models)s)
    group by task, test_dataset, protocol
),
result as materialized (
    select test_dataset, task, auc, lower, upper, reason, warning, task_position, dataset_position
    from auc_results
    where study = %(study)s and trained_on = %(trained_on)s and seed is not distinct from %(seed)s
),
shift as materialized (
    select test_dataset, task, verdict, basis
    from shift_results
    where study = %(study)s and trained_on_a = %(trained_on)s
),
cause as materialized (
    select distinct on (test_dataset, task) test_dataset, task, verdict, basis
    from causes_results
    where study = %(study)s and trained_on = %(trained_on)s
    order by test_dataset, task, auc_drop desc nulls last
)
select cells.*, result.auc, result.lower, result.upper, result.reason, result.warning,
    coalesce(shift.verdict, cause.verdict) as verdict, coalesce(shift.basis, cause.basis) as basis
from cells
left join result using (test_dataset, task)
left join shift using (test_dataset, task)
left join cause using (test_dataset, task)
order by cells.protocol, result.task_position, cells.task, result.dataset_position, cells.test_dataset
