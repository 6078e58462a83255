-- foreign_models: one row per model that was trained elsewhere. Columns: model, format (of its file, NULL where only its scores
-- are here), image_size, tasks, trained_on (datasets that it is said to be trained on, NULL: unknown), scored (test cohorts, as
-- dataset/protocol), citation.
create or replace view foreign_models as
select
    model.name as model,
    model.network as format,
    model.image_size,
    array(
        select task.name from model_task join task on task.id = model_task.task_id
        where model_task.model_id = model.id order by model_task.position
    ) as tasks,
    (
        select array_agg(foreign_training.dataset order by foreign_training.dataset)
        from foreign_training where foreign_training.model_id = model.id
    ) as trained_on,
    array(
        select dataset.name || '/' || protocol.name
        from evaluation
        join cohort on cohort.image_list_id = evaluation.image_list_id and cohort.part = 'test'
        join dataset on dataset.id = cohort.dataset_id
        join protocol on protocol.id = cohort.protocol_id
        where evaluation.model_id = model.id
        order by dataset.id, protocol.id
    ) as scored,
    model.card ->> 'citation' as citation
from model
where model.kind = 'foreign';
