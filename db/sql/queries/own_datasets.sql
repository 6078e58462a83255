-- One row per dataset that a model was trained on and whose images an image list is, whole or of a cohort: dataset.
-- Parameters: model_id, image_list_id.
select distinct dataset.name as dataset
from training_cohort
join cohort as trained on trained.id = training_cohort.cohort_id
join dataset on dataset.id = trained.dataset_id
where training_cohort.model_id = :model_id
and (
    dataset.image_list_id = :image_list_id
    or exists (
        select from cohort where cohort.dataset_id = dataset.id and cohort.image_list_id = :image_list_id
    )
)
order by dataset.name
