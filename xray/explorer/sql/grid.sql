-- One row per (finding, test dataset) that a model scored: task, test_dataset, protocol, n, n_pos, n_neg; from its results where
-- it was analysed, else NULL: auc, lower, upper, reason, warning, verdict, basis; of a model from elsewhere the verdict from its
-- home, or from where it loses most. Parameters: models, study, trained_on, seed.
with cells as (
    select task, test_dataset, protocol, max(n) as n, max(n_pos) as n_pos, max(n_neg) as n_neg
    from prediction_vectors
    where model = any(%(models)s)
    group by task, test_dataset, protocol
)
select cells.*, result.auc, result.lower, result.upper, result.reason, result.warning,
    coalesce(shift.verdict, cause.verdict) as verdict, coalesce(shift.basis, cause.basis) as basis
from cells
left join auc_results as result
    on result.study = %(study)s and result.trained_on = %(trained_on)s and result.seed is not distinct from %(seed)s
    and result.test_dataset = cells.test_dataset and result.task = cells.task
left join shift_results as shift
    on shift.study = %(study)s and shift.trained_on_a = %(trained_on)s
    and shift.test_dataset = cells.test_dataset and shift.task = cells.task
left join lateral (
    select causes.verdict, causes.basis
    from causes_results as causes
    where causes.study = %(study)s and causes.trained_on = %(trained_on)s
        and causes.test_dataset = cells.test_dataset and causes.task = cells.task
    order by causes.auc_drop desc nulls last
    limit 1
) as cause on true
order by cells.protocol, result.task_position, cells.task, result.dataset_position, cells.test_dataset
