-- prediction_length: scores of a finding that are not as many as the images that they are of, or cut at other places.
-- Columns: evaluation_id, model, task, scores, images.
-- Then: delete the evaluation (delete from evaluation where id = …); the next run of its study scores it again.
select evaluation.id as evaluation_id, model.name as model, task.name as task, stored.scores, image_list.length as images
from (
    select evaluation_id, task_id, sum(cardinality(logits)) as scores, max(piece) as last,
        bool_or(piece < 0 or cardinality(logits) > piece_length()) as cut_elsewhere, count(*) as pieces
    from prediction group by evaluation_id, task_id
) as stored
join evaluation on evaluation.id = stored.evaluation_id
join image_list on image_list.id = evaluation.image_list_id
left join model on model.id = evaluation.model_id
left join task on task.id = stored.task_id
where stored.scores <> image_list.length or stored.cut_elsewhere or stored.last <> (image_list.length - 1) / piece_length()
    or stored.pieces <> stored.last + 1
