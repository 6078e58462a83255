-- One row per operating point of a model on a cohort that was analysed: rule ("own": chosen on the model's own test images,
-- "target": on these), threshold (logit). Parameters: study, trained_on, dataset, task.
select distinct rule, threshold
from operating_point_results
where study = %(study)s and trained_on = %(trained_on)s and test_dataset = %(dataset)s and task = %(task)s
    and threshold is not null
order by rule, threshold
