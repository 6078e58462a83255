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
