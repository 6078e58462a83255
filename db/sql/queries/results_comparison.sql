-- One row per stored paired difference between leave-one-site-out arms of a study. Parameter: study.
select test_dataset, task, arm_a, arm_b, auc_a, auc_b, difference, lower, upper, p, p_holm, n, n_pos, reason, warning
from auc_difference_results
where study = :study
order by dataset_position, task_position, arm_a, arm_b
