-- One row: evaluations_missing, how many evaluations of a study are still to be made, or to get their features. Parameter:
-- study, its name.
select count(*) as evaluations_missing
from (
    select missing_evaluations.model_id, missing_evaluations.image_list_id
    from study
    join study_model on study_model.study_id = study.id
    join study_dataset on study_dataset.study_id = study.id
    join cohort on cohort.dataset_id = study_dataset.dataset_id
    join missing_evaluations on missing_evaluations.model_id = study_model.model_id
        and missing_evaluations.image_list_id = cohort.image_list_id
    where study.name = :study
    union
    select missing_features.model_id, missing_features.image_list_id
    from missing_features
    where missing_features.study = :study
) as missing
