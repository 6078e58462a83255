-- interventions: interventions without scores, with scores that are not as many as the images that they are of, or of findings
-- that their evaluation has no scores of.
-- Columns: intervention_id, model, kind, task, scores, images.
-- Then: delete the intervention (delete from intervention_evaluation where id = …); xray intervene makes it again.
select made.id as intervention_id, model.name as model, made.kind, task.name as task, cardinality(score.logits) as scores,
    image_list.length as images
from intervention_evaluation as made
join evaluation on evaluation.id = made.evaluation_id
join image_list on image_list.id = evaluation.image_list_id
left join model on model.id = evaluation.model_id
left join intervention_score as score on score.intervention_id = made.id
left join task on task.id = score.task_id
where score.logits is null or cardinality(score.logits) <> image_list.length
    or not exists (
        select from prediction where prediction.evaluation_id = evaluation.id and prediction.task_id = score.task_id
    )
