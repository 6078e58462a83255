-- One row per evaluation by a model of a list that shares images with this one and is of the same dataset's pictures: evaluation_id,
-- image_list_id. Parameters: model_id, dataset_id, image_list_id.
select evaluation.id as evaluation_id, evaluation.image_list_id
from evaluation
join image_list on image_list.id = evaluation.image_list_id
where evaluation.model_id = :model_id
    and evaluation.image_list_id in (
        select cohort.image_list_id from cohort where cohort.dataset_id = :dataset_id
        union
        select dataset.image_list_id from dataset where dataset.id = :dataset_id
    )
    and image_list.image_ids && (select wanted.image_ids from image_list as wanted where wanted.id = :image_list_id)
order by evaluation.id
