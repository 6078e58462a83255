-- model_provenance: one row per model: where it comes from. Columns: model_id, model, kind ('trained' here, or 'foreign'), model_key,
-- trained_on, seed, network, image_size, recipe, protocol, training_cohorts (dataset/part: content hash), model_commit,
-- model_versions, model_flow_run, model_worker, mlflow_run_id, mlflow_model, mlflow_version, trained_at, weights_sha256; of a
-- foreign model card, said_trained_on (datasets, NULL: unknown), model_file (as it was given, with model_file_sha256; NULL where
-- only its scores are here), imported_at, imported_by (account), import_command.
create or replace view model_provenance as
select
    model.id as model_id,
    model.name as model,
    model.kind,
    model.key as model_key,
    model.trained_on,
    model.seed,
    model.network,
    model.image_size,
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
    model.provenance
        - array['commit', 'flow_run', 'worker', 'user', 'command', 'file', 'file_sha256', 'imported_at'] as model_versions,
    model.provenance ->> 'flow_run' as model_flow_run,
    coalesce(model.provenance ->> 'worker', model.provenance ->> 'host') as model_worker,
    model.mlflow_run_id,
    model.mlflow_model,
    model.mlflow_version,
    model.trained_at,
    model.weights_sha256,
    model.card,
    (
        select array_agg(foreign_training.dataset order by foreign_training.dataset)
        from foreign_training where foreign_training.model_id = model.id
    ) as said_trained_on,
    model.provenance ->> 'file' as model_file,
    model.provenance ->> 'file_sha256' as model_file_sha256,
    cast(model.provenance ->> 'imported_at' as timestamptz) as imported_at,
    model.provenance ->> 'user' as imported_by,
    model.provenance ->> 'command' as import_command
from model
left join protocol on protocol.id = model.protocol_id;

-- provenance: one row per evaluation: which model scored which test images, and all that the two come from.
-- Columns: evaluation_id, those of model_provenance, test_datasets, image_list_hash, n_images, scored_commit, scored_versions,
-- scored_flow_run, scored_worker, completed_at; of scores that came in a file scores (JSON: file, sha256, kind, conversion,
-- names), scored_by (the account that brought it), scored_command.
create or replace view provenance as
select
    evaluation.id as evaluation_id,
    model_provenance.*,
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
    evaluation.provenance - array['commit', 'flow_run', 'worker', 'user', 'command', 'scores'] as scored_versions,
    evaluation.provenance ->> 'flow_run' as scored_flow_run,
    coalesce(evaluation.provenance ->> 'worker', evaluation.provenance ->> 'host') as scored_worker,
    evaluation.completed_at,
    evaluation.provenance -> 'scores' as scores,
    evaluation.provenance ->> 'user' as scored_by,
    evaluation.provenance ->> 'command' as scored_command
from evaluation
join model_provenance on model_provenance.model_id = evaluation.model_id
join image_list on image_list.id = evaluation.image_list_id;
