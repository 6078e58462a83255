-- One row: images, a count of what was changed or removed of images, patients and native columns; studies, of all that was
-- written of studies, models, cohorts and evaluations; as the server keeps them. What was read is as it was where its count is as
-- it was. Commits are counted within seconds.
select
    coalesce(sum(n_tup_upd + n_tup_del) filter (where relname in ('image', 'patient', 'native_column')), 0)::bigint as images,
    coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del) filter (where relname in (
        'site', 'dataset', 'cohort', 'cohort_label', 'task', 'study', 'study_dataset', 'study_task', 'study_model', 'model',
        'model_task', 'training_cohort', 'evaluation'
    )), 0)::bigint as studies
from pg_catalog.pg_stat_user_tables
where schemaname = current_schema()
