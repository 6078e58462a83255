-- provenance: one row per evaluation: which model scored which test images, and all that the two come from.
-- Columns: evaluation_id, model, model_key, trained_on, seed, network, recipe, protocol, training_cohorts (dataset/part:
-- content hash), model_commit, model_versions, model_flow_run, model_worker, mlflow_run_id, trained_at, test_datasets,
-- image_list_hash, n_images, scored_commit, scored_versions, scored_flow_run, scored_worker, completed_at.
create or replace view provenance as
select
    evaluation.id as evaluation_id,
    model.name as model,
    model.key as model_key,
    model.trained_on,
    model.seed,
    model.network,
    model.recipe,
    protocol.name || ' ' || protocol.version as protocol,
    (
        select jsonb_object_agg(dataset.name || '/' || cohort.part, cohort.content_hash)
        from training_cohort
        join cohort on cohort.id = training_cohort.cohort_id
        join dataset on dataset.id = cohort.dataset_id
        where training_cohort.model_id = model.id
    ) as training_cohorts,
    model.provenance ->> 'commit' as model_commit,
    model.provenance - array['commit', 'flow_run', 'worker'] as model_versions,
    model.provenance ->> 'flow_run' as model_flow_run,
    coalesce(model.provenance ->> 'worker', model.provenance ->> 'host') as model_worker,
    model.mlflow_run_id,
    model.trained_at,
    array(
        select distinct dataset.name
        from cohort
        join dataset on dataset.id = cohort.dataset_id
        where cohort.image_list_id = image_list.id and cohort.part = 'test'
        order by dataset.name
    ) as test_datasets,
    image_list.content_hash as image_list_hash,
    image_list.length as n_images,
    evaluation.provenance ->> 'commit' as scored_commit,
    evaluation.provenance - array['commit', 'flow_run', 'worker'] as scored_versions,
    evaluation.provenance ->> 'flow_run' as scored_flow_run,
    coalesce(evaluation.provenance ->> 'worker', evaluation.provenance ->> 'host') as scored_worker,
    evaluation.completed_at
from evaluation
join model on model.id = evaluation.model_id
join protocol on protocol.id = model.protocol_id
join image_list on image_list.id = evaluation.image_list_id;
