-- half_evaluations: evaluations without scores of a finding that their model was trained on.
-- Columns: evaluation_id, model, task, completed_at.
-- Then: delete the evaluation (delete from evaluation where id = …); the next run of its study scores it again.
select evaluation.id as evaluation_id, model.name as model, task.name as task, evaluation.completed_at
from evaluation
join model on model.id = evaluation.model_id
join model_task on model_task.model_id = model.id
join task on task.id = model_task.task_id
left join prediction on prediction.evaluation_id = evaluation.id and prediction.task_id = task.id
where prediction.logits is null
union all
select evaluation.id, model.name, null, evaluation.completed_at
from evaluation
left join model on model.id = evaluation.model_id
where not exists (select from prediction where prediction.evaluation_id = evaluation.id)
