-- feature_rows: features of an evaluation that are not one vector for each of its images, all of one length.
-- Columns: evaluation_id, model, vectors, images, lengths (how many different ones).
-- Then: delete them (delete from feature where evaluation_id = …); the next run of its study makes them again.
select feature.evaluation_id, model.name as model, count(*) as vectors, image_list.length as images,
    count(distinct cardinality(feature.features)) as lengths
from feature
join evaluation on evaluation.id = feature.evaluation_id
join image_list on image_list.id = evaluation.image_list_id
left join model on model.id = evaluation.model_id
group by feature.evaluation_id, model.name, image_list.length
having count(*) <> image_list.length or min(feature.position) <> 1 or max(feature.position) <> image_list.length
    or count(distinct cardinality(feature.features)) <> 1
