-- One row per stored score of one image and finding among these evaluations: evaluation_id, model, seed, site, image, patient, view,
-- age, sex, content_hash, path, logit, position (in the image list, from 1). Parameters: ids (of evaluations), name (of the
-- image), task.
select evaluation.id as evaluation_id, model.name as model, model.seed, site.name as site, image.name as image, image.patient,
    image.view, image.age, image.sex, image.content_hash, image.path,
    (
        select prediction.logits[listed_image.place] from prediction
        where prediction.evaluation_id = evaluation.id and prediction.piece = listed_image.piece and prediction.task_id = task.id
    ) as logit,
    listed_image.piece * piece_length() + listed_image.place as position
from evaluation
join model on model.id = evaluation.model_id
join listed_image on listed_image.image_list_id = evaluation.image_list_id
join image on image.id = listed_image.image_id
join site on site.id = image.site_id
join task on task.name = :task
where evaluation.id = any(:ids) and image.name = :name
order by model.seed, position
