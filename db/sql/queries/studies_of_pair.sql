-- One row per study that has a model and two datasets: study. Parameters: model (a name), a, b (names of datasets).
select study.name as study
from study
join study_model on study_model.study_id = study.id
join model on model.id = study_model.model_id
where model.name = :model
    and exists (
        select from study_dataset join dataset on dataset.id = study_dataset.dataset_id
        where study_dataset.study_id = study.id and dataset.name = :a
    )
    and exists (
        select from study_dataset join dataset on dataset.id = study_dataset.dataset_id
        where study_dataset.study_id = study.id and dataset.name = :b
    )
order by study.name
