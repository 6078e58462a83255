-- One row per evaluation to be made: model_id, image_list_id. It is missing, or a study asks for its features and has none.
-- Parameter: study, a name, or NULL for everything.
select missing_evaluations.model_id, missing_evaluations.image_list_id
from missing_evaluations
where
    cast(:study as text) is null
    or exists (
        select from study
        join study_model on study_model.study_id = study.id and study_model.model_id = missing_evaluations.model_id
        join study_dataset on study_dataset.study_id = study.id
        join cohort on cohort.dataset_id = study_dataset.dataset_id
            and cohort.image_list_id = missing_evaluations.image_list_id
        where study.name = :study
    )
union
select missing_features.model_id, missing_features.image_list_id
from missing_features
where cast(:study as text) is null or missing_features.study = :study
order by model_id, image_list_id
