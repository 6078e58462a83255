-- One row: evaluations_missing, how many evaluations by models that are there a study still wants, or wants features of: by its
-- own that its file still asks for, and by those from elsewhere.
-- Parameters: study, its name; datasets, names of those of its file; models, ids of those of its file that are trained.
select count(*) as evaluations_missing
from (
    select missing_evaluations.model_id, missing_evaluations.image_list_id
    from study
    cross join missing_evaluations
    join model on model.id = missing_evaluations.model_id
    join cohort on cohort.image_list_id = missing_evaluations.image_list_id
        and cohort.protocol_id = coalesce(model.protocol_id, study.protocol_id)
    join dataset on dataset.id = cohort.dataset_id
    where study.name = :study
    and (
        model.id = any(cast(:models as bigint [])) or exists (
            select from study_model
            where study_model.study_id = study.id and study_model.model_id = model.id and model.kind = 'foreign'
        )
    )
    and (
        dataset.name = any(cast(:datasets as text [])) or exists (
            select from study_dataset
            where study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id
        )
    )
    union
    select missing_features.model_id, missing_features.image_list_id
    from missing_features
    where missing_features.study = :study and missing_features.model_id = any(cast(:models as bigint []))
) as missing
