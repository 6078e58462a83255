-- One row per model: model, kind, trained_on (a configuration; of a foreign model the datasets that it is said to know),
-- seed, network (of a foreign model its file's format), image_size, tasks, evaluations.
select model.name as model, model.kind,
    case
        when model.kind = 'trained' then model.trained_on
        else coalesce(array_to_string(foreign_models.trained_on, ', '), 'unknown')
    end as trained_on,
    model.seed, model.network, model.image_size,
    (select count(*) from model_task where model_task.model_id = model.id) as tasks,
    (select count(*) from evaluation where evaluation.model_id = model.id) as evaluations
from model
left join foreign_models on foreign_models.model = model.name
order by model.id
