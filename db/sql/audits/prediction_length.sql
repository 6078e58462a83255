-- prediction_length: scores of a finding that are not as many as the images that they are of.
-- Columns: evaluation_id, model, task, scores, images.
-- Then: delete the evaluation (delete from evaluation where id = …); the next run of its study scores it again.
select prediction.evaluation_id, model.name as model, task.name as task, cardinality(prediction.logits) as scores,
    image_list.length as images
from prediction
join evaluation on evaluation.id = prediction.evaluation_id
join image_list on image_list.id = evaluation.image_list_id
left join model on model.id = evaluation.model_id
left join task on task.id = prediction.task_id
where cardinality(prediction.logits) <> image_list.length
