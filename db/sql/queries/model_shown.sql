-- One row: a model as `xray model show` tells of it: model, kind, trained_on, seed, network, image_size, protocol, tasks,
-- scored (dataset/protocol/part), mlflow_model, mlflow_version, card. Parameter: name.
select model.name as model, model.kind,
    case
        when model.kind = 'trained' then array[model.trained_on]
        else coalesce(foreign_models.trained_on, array['unknown'])
    end as trained_on,
    model.seed, model.network, model.image_size, protocol.name as protocol,
    array(
        select task.name from model_task join task on task.id = model_task.task_id
        where model_task.model_id = model.id order by model_task.position
    ) as tasks,
    array(
        select dataset.name || '/' || protocol.name || '/' || cohort.part
        from evaluation
        join cohort on cohort.image_list_id = evaluation.image_list_id
            and cohort.protocol_id = coalesce(model.protocol_id, cohort.protocol_id)
        join dataset on dataset.id = cohort.dataset_id
        join protocol on protocol.id = cohort.protocol_id
        where evaluation.model_id = model.id
        order by cohort.id
    ) as scored,
    model.mlflow_model, model.mlflow_version, model.card
from model
left join protocol on protocol.id = model.protocol_id
left join foreign_models on foreign_models.model = model.name
where model.name = :name
