-- One row: what stored results say of a model's ensemble on a dataset, for planning: auc, prevalence, sensitivity, specificity;
-- NULL what was not analysed.
-- Parameters: study, model (its trained_on), dataset, task.
select
    results.auc, results.n_pos::double precision / nullif(results.n, 0) as prevalence,
    max(points.value) filter (where points.measure = 'sensitivity') as sensitivity,
    max(points.value) filter (where points.measure = 'specificity') as specificity
from auc_results as results
left join operating_point_results as points
    on
        points.study = results.study and points.trained_on = results.trained_on
        and points.test_dataset = results.test_dataset and points.task = results.task and points.rule = 'target'
where
    results.study = :study and results.trained_on = :model and results.test_dataset = :dataset and results.task = :task
    and results.seed is null
group by results.auc, results.n_pos, results.n
