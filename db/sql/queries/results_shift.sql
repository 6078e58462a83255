-- One row per stored verdict of a study. Parameter: study.
select train_dataset, test_dataset, task, verdict, basis, assumption, resolve, p_adjusted, auc_drop, drop_lower, drop_upper,
    intrinsic, intrinsic_lower, intrinsic_upper, transfer, transfer_lower, transfer_upper, excess, excess_lower, excess_upper,
    p_meaning, p_companions, p_images, p_images_all, prevalence_a, prevalence_b, p_prevalence, implied_prevalence,
    implied_lower, implied_upper, n_shared, kappa, kappa_lower, kappa_upper, auc_aa, auc_ab, auc_ba, auc_bb, n_a, n_pos_a, n_b, n_pos_b,
    reason, warning
from shift_results
where study = :study
order by train_position, dataset_position, task_position
