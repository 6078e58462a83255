-- Views of stored results, by names. warning: what the models behind a row saw of its test cohort in training (see
-- leaking_evaluations); NULL where nothing is known of it.

-- auc_results: one row per stored AUC, by names. seed NULL is the ensemble of the seeds.
create or replace view auc_results as
select study.name as study, auc.trained_on, dataset.name as test_dataset, task.name as task, auc.seed, auc.n, auc.n_pos,
    auc.auc, auc.lower, auc.upper, auc.reason, auc.method, auc.evaluation_ids,
    analysis.computed_at, study_dataset.position as dataset_position, task.id as task_position,
    leak_warning(auc.evaluation_ids, auc.cohort_id) as warning
from auc
join analysis on analysis.id = auc.analysis_id
join study on study.id = analysis.study_id
join cohort on cohort.id = auc.cohort_id
join dataset on dataset.id = cohort.dataset_id
join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id
join task on task.id = auc.task_id;

-- auc_difference_results: one row per stored paired difference between two leave-one-site-out arms, by names.
create or replace view auc_difference_results as
select study.name as study, dataset.name as test_dataset, task.name as task, d.arm_a, d.arm_b, d.trained_on_a, d.trained_on_b,
    d.n, d.n_pos, d.auc_a, d.auc_b, d.difference, d.lower, d.upper, d.p, d.p_holm, d.reason, d.method, d.evaluation_ids,
    analysis.computed_at, study_dataset.position as dataset_position, task.id as task_position,
    leak_warning(d.evaluation_ids, d.cohort_id) as warning
from auc_difference as d
join analysis on analysis.id = d.analysis_id
join study on study.id = analysis.study_id
join cohort on cohort.id = d.cohort_id
join dataset on dataset.id = cohort.dataset_id
join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id
join task on task.id = d.task_id;

-- agreement_results: one row per stored kappa of a model against the test dataset's own model, by names.
create or replace view agreement_results as
select study.name as study, dataset.name as test_dataset, task.name as task, a.reference, a.trained_on, a.rule, a.n, a.n_pos,
    a.kappa, a.lower, a.upper, a.pabak, a.threshold_reference, a.threshold, a.reason, a.method, a.evaluation_ids,
    analysis.computed_at, study_dataset.position as dataset_position, task.id as task_position,
    leak_warning(a.evaluation_ids, a.cohort_id) as warning
from agreement as a
join analysis on analysis.id = a.analysis_id
join study on study.id = analysis.study_id
join cohort on cohort.id = a.cohort_id
join dataset on dataset.id = cohort.dataset_id
join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id
join task on task.id = a.task_id;

-- shift_results: one row per stored verdict on a task between a training dataset A and a test dataset B, by names.
create or replace view shift_results as
select study.name as study, a.name as train_dataset, b.name as test_dataset, task.name as task, s.verdict, s.basis,
    s.assumption, s.resolve, s.p_adjusted, s.auc_drop, s.drop_lower, s.drop_upper,
    s.intrinsic, s.intrinsic_lower, s.intrinsic_upper, s.p_intrinsic,
    s.transfer, s.transfer_lower, s.transfer_upper, s.p_transfer, s.excess, s.excess_lower, s.excess_upper,
    s.p_meaning, s.p_companions, s.p_images, s.p_images_all, s.prevalence_a, s.prevalence_b, s.p_prevalence,
    s.implied_prevalence, s.implied_lower, s.implied_upper, s.n_shared, s.kappa, s.kappa_lower, s.kappa_upper,
    s.trained_on_a, s.trained_on_b, s.auc_aa, s.auc_ab, s.auc_ba, s.auc_bb, s.n_a, s.n_pos_a, s.n_b, s.n_pos_b,
    s.reason, s.method, s.evaluation_ids, analysis.computed_at, in_a.position as train_position,
    in_b.position as dataset_position, task.id as task_position,
    leak_warning(s.evaluation_ids, s.cohort_a_id, s.cohort_b_id) as warning
from shift as s
join analysis on analysis.id = s.analysis_id
join study on study.id = analysis.study_id
join cohort as at_a on at_a.id = s.cohort_a_id
join cohort as at_b on at_b.id = s.cohort_b_id
join dataset as a on a.id = at_a.dataset_id
join dataset as b on b.id = at_b.dataset_id
join study_dataset as in_a on in_a.study_id = study.id and in_a.dataset_id = a.id
join study_dataset as in_b on in_b.study_id = study.id and in_b.dataset_id = b.id
join task on task.id = s.task_id;
