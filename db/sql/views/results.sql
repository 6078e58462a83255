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
    a.kappa, a.lower, a.upper, a.pabak, a.positive_agreement, a.negative_agreement, a.mcnemar_p, a.tau,
    a.threshold_reference, a.threshold, a.reason, a.method, a.evaluation_ids,
    analysis.computed_at, a.id as position, study_dataset.position as dataset_position, task.id as task_position,
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
    s.reason, s.method, s.evaluation_ids, analysis.computed_at, s.id as position, in_a.position as train_position,
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

-- threshold_transfer_results: one row per stored change of accuracy, sensitivity or specificity, by names.
create or replace view threshold_transfer_results as
select study.name as study, t.trained_on, dataset.name as test_dataset, task.name as task, t.measure, t.n, t.n_pos,
    t.threshold_target, t.threshold_home, t.at_target, t.at_home, t.difference, t.lower, t.upper, t.reason, t.method,
    t.evaluation_ids,
    analysis.computed_at, t.id as position, study_dataset.position as dataset_position, task.id as task_position,
    leak_warning(t.evaluation_ids, t.cohort_id) as warning
from threshold_transfer as t
join analysis on analysis.id = t.analysis_id
join study on study.id = analysis.study_id
join cohort on cohort.id = t.cohort_id
join dataset on dataset.id = cohort.dataset_id
join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id
join task on task.id = t.task_id;

-- seed_agreement_results: one row per stored kappa of two seeds of a configuration, by names.
create or replace view seed_agreement_results as
select study.name as study, s.trained_on, dataset.name as test_dataset, task.name as task, s.seed_a, s.seed_b, s.n, s.n_pos,
    s.kappa, s.lower, s.upper, s.pabak, s.reason, s.method, s.evaluation_ids,
    analysis.computed_at, s.id as position, study_dataset.position as dataset_position, task.id as task_position,
    leak_warning(s.evaluation_ids, s.cohort_id) as warning
from seed_agreement as s
join analysis on analysis.id = s.analysis_id
join study on study.id = analysis.study_id
join cohort on cohort.id = s.cohort_id
join dataset on dataset.id = cohort.dataset_id
join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id
join task on task.id = s.task_id;

-- pooled_agreement_results: one row per stored kappa and tau of two configurations over all test cohorts, by names.
create or replace view pooled_agreement_results as
select study.name as study, p.trained_on_a, p.trained_on_b, task.name as task, p.rule, p.n, p.n_pos,
    p.kappa, p.lower, p.upper, p.pabak, p.tau, p.cohort_ids, p.reason, p.method, p.evaluation_ids,
    analysis.computed_at, p.id as position, task.id as task_position,
    leak_warning(p.evaluation_ids, variadic p.cohort_ids) as warning
from pooled_agreement as p
join analysis on analysis.id = p.analysis_id
join study on study.id = analysis.study_id
join task on task.id = p.task_id;

-- bland_altman_results: one row per stored pair of a model and the test dataset's own, by names.
create or replace view bland_altman_results as
select study.name as study, b.reference, b.trained_on, dataset.name as test_dataset, task.name as task, b.n, b.n_pos,
    b.bias, b.bias_from, b.bias_to, b.lower_limit, b.lower_limit_from, b.lower_limit_to,
    b.upper_limit, b.upper_limit_from, b.upper_limit_to, b.sd, b.auc_reference, b.auc, b.kappa, b.reason, b.method,
    b.evaluation_ids,
    analysis.computed_at, b.id as position, study_dataset.position as dataset_position, task.id as task_position,
    leak_warning(b.evaluation_ids, b.cohort_id) as warning
from bland_altman as b
join analysis on analysis.id = b.analysis_id
join study on study.id = analysis.study_id
join cohort on cohort.id = b.cohort_id
join dataset on dataset.id = cohort.dataset_id
join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id
join task on task.id = b.task_id;

-- operating_point_results: one row per stored proportion at a threshold, by names.
create or replace view operating_point_results as
select study.name as study, o.trained_on, dataset.name as test_dataset, task.name as task, o.rule, o.measure, o.threshold,
    o.n, o.n_pos, o.numerator, o.denominator, o.value, o.lower, o.upper, o.reason, o.method, o.evaluation_ids,
    analysis.computed_at, o.id as position, study_dataset.position as dataset_position, task.id as task_position,
    leak_warning(o.evaluation_ids, o.cohort_id) as warning
from operating_point as o
join analysis on analysis.id = o.analysis_id
join study on study.id = analysis.study_id
join cohort on cohort.id = o.cohort_id
join dataset on dataset.id = cohort.dataset_id
join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id
join task on task.id = o.task_id;

-- average_precision_results: one row per stored area under a precision-recall curve, by names.
create or replace view average_precision_results as
select study.name as study, a.trained_on, dataset.name as test_dataset, task.name as task, a.n, a.n_pos,
    a.average_precision, a.lower, a.upper, a.prevalence, a.reason, a.method, a.evaluation_ids,
    analysis.computed_at, a.id as position, study_dataset.position as dataset_position, task.id as task_position,
    leak_warning(a.evaluation_ids, a.cohort_id) as warning
from average_precision as a
join analysis on analysis.id = a.analysis_id
join study on study.id = analysis.study_id
join cohort on cohort.id = a.cohort_id
join dataset on dataset.id = cohort.dataset_id
join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id
join task on task.id = a.task_id;

-- calibration_results: one row per stored calibration, by names.
create or replace view calibration_results as
select study.name as study, c.trained_on, dataset.name as test_dataset, task.name as task, c.n, c.n_pos,
    c.brier, c.reliability, c.resolution, c.uncertainty, c.ece, c.intercept, c.slope, c.slope_lower, c.slope_upper,
    c.bin_n, c.bin_predicted, c.bin_observed, c.bin_lower, c.bin_upper, c.reason, c.method, c.evaluation_ids,
    analysis.computed_at, c.id as position, study_dataset.position as dataset_position, task.id as task_position,
    leak_warning(c.evaluation_ids, c.cohort_id) as warning
from calibration as c
join analysis on analysis.id = c.analysis_id
join study on study.id = analysis.study_id
join cohort on cohort.id = c.cohort_id
join dataset on dataset.id = cohort.dataset_id
join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id
join task on task.id = c.task_id;

-- net_benefit_results: one row per stored net benefit at a threshold probability, by names.
create or replace view net_benefit_results as
select study.name as study, b.trained_on, dataset.name as test_dataset, task.name as task, b.threshold, b.n, b.n_pos,
    b.net_benefit, b.lower, b.upper, b.treat_all, b.difference, b.difference_lower, b.difference_upper, b.reason, b.method,
    b.evaluation_ids,
    analysis.computed_at, b.id as position, study_dataset.position as dataset_position, task.id as task_position,
    leak_warning(b.evaluation_ids, b.cohort_id) as warning
from net_benefit as b
join analysis on analysis.id = b.analysis_id
join study on study.id = analysis.study_id
join cohort on cohort.id = b.cohort_id
join dataset on dataset.id = cohort.dataset_id
join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id
join task on task.id = b.task_id;

-- subgroup_auc_results: one row per stored AUC of a subgroup, by names.
create or replace view subgroup_auc_results as
select study.name as study, s.trained_on, dataset.name as test_dataset, task.name as task, s.grouping, s.subgroup,
    s.n, s.n_pos, s.auc, s.lower, s.upper, s.auc_rest, s.difference, s.difference_lower, s.difference_upper,
    s.p, s.p_holm, s.q, s.is_worst, s.reason, s.method, s.evaluation_ids,
    analysis.computed_at, s.id as position, study_dataset.position as dataset_position, task.id as task_position,
    leak_warning(s.evaluation_ids, s.cohort_id) as warning
from subgroup_auc as s
join analysis on analysis.id = s.analysis_id
join study on study.id = analysis.study_id
join cohort on cohort.id = s.cohort_id
join dataset on dataset.id = cohort.dataset_id
join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id
join task on task.id = s.task_id;

-- mean_auc_results: one row per stored mean AUC over tasks, by names. tasks: which ones.
create or replace view mean_auc_results as
select study.name as study, m.trained_on, dataset.name as test_dataset, m.reference,
    array(select task.name from task where task.id = any(m.task_ids) order by task.id) as tasks, m.n, m.n_patients,
    m.auc, m.lower, m.upper, m.difference, m.difference_lower, m.difference_upper, m.p, m.p_holm, m.reason, m.method,
    m.evaluation_ids, analysis.computed_at, m.id as position, study_dataset.position as dataset_position,
    leak_warning(m.evaluation_ids, m.cohort_id) as warning
from mean_auc as m
join analysis on analysis.id = m.analysis_id
join study on study.id = analysis.study_id
join cohort on cohort.id = m.cohort_id
join dataset on dataset.id = cohort.dataset_id
join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id;

-- classifier_map_results: one row per stored place of a (dataset, task) vector, by names.
create or replace view classifier_map_results as
select study.name as study, c.trained_on, c.seed, dataset.name as dataset, task.name as task, c.x, c.y,
    c.explained_x, c.explained_y, c.method, analysis.computed_at, c.id as position,
    study_dataset.position as dataset_position, task.id as task_position
from classifier_map as c
join analysis on analysis.id = c.analysis_id
join study on study.id = analysis.study_id
join dataset on dataset.id = c.dataset_id
join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id
join task on task.id = c.task_id;

-- classifier_distance_results: one row per stored distance of a task's vectors, by names. seed NULL is the mean of the seeds.
create or replace view classifier_distance_results as
select study.name as study, c.trained_on, task.name as task, c.seed, c.n_datasets, c.distance, c.relative, c.cross_domain_auc,
    c.method, analysis.computed_at, c.id as position, task.id as task_position
from classifier_distance as c
join analysis on analysis.id = c.analysis_id
join study on study.id = analysis.study_id
join task on task.id = c.task_id;

-- feature_map_results: one row per stored place of an image by its features, by names.
create or replace view feature_map_results as
select study.name as study, f.trained_on, f.seed, site.name as site, image.name as image, image.view, f.x, f.y, f.method,
    f.evaluation_id, analysis.computed_at, f.id as position
from feature_map as f
join analysis on analysis.id = f.analysis_id
join study on study.id = analysis.study_id
join image on image.id = f.image_id
join site on site.id = image.site_id;

-- view_classifier_results: one row per stored classifier of a view, by names.
create or replace view view_classifier_results as
select study.name as study, v.trained_on, v.seed, v.told, v.n, v.n_pos, v.auc, v.lower, v.upper, v.reason, v.method, v.evaluation_id,
    analysis.computed_at, v.id as position
from view_classifier as v
join analysis on analysis.id = v.analysis_id
join study on study.id = analysis.study_id;
