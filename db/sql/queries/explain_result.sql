-- One row per evaluation behind one stored AUC, with the AUC: study, trained_on, test_dataset, task, seed, n, n_pos, auc,
-- lower, upper, method, warning (what the model saw of
-- the test images in training), computed_at, computed_by and, as JSON, those of the view provenance (evaluation).
-- Parameters: study, trained_on, test_dataset, task, seed (NULL: the ensemble).
select
    r.study, r.trained_on, r.test_dataset, r.task, r.seed, r.n, r.n_pos, r.auc, r.lower, r.upper, r.method, r.warning, r.computed_at,
    analysis.provenance as computed_by,
    to_jsonb(scored) as evaluation
from auc_results as r
join study on study.name = r.study
join analysis on analysis.study_id = study.id and analysis.name = 'performance'
    and analysis.cell in ('{}', array[r.test_dataset, r.trained_on])
join provenance as scored on scored.evaluation_id = any(r.evaluation_ids)
where r.study = :study and r.trained_on = :trained_on and r.test_dataset = :test_dataset and r.task = :task
    and r.seed is not distinct from cast(:seed as integer)
order by scored.seed
