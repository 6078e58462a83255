-- One row per study of which any test cohort is scored: name. In the order of their first run.
select study.name
from study
where exists (
    select from study_model
    join evaluation on evaluation.model_id = study_model.model_id
    join study_dataset on study_dataset.study_id = study_model.study_id
    join cohort on cohort.dataset_id = study_dataset.dataset_id and cohort.image_list_id = evaluation.image_list_id
    where study_model.study_id = study.id
)
order by study.id
