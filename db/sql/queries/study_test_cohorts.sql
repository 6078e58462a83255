-- One row per test cohort of a study, in the order of its datasets: cohort_id, dataset, site. Parameter: study_id.
select distinct on (study_dataset.position) cohort.id as cohort_id, dataset.name as dataset, site.name as site
from study_dataset
join study on study.id = study_dataset.study_id
join dataset on dataset.id = study_dataset.dataset_id
join site on site.id = dataset.site_id
join cohort on cohort.dataset_id = dataset.id and cohort.part = 'test'
join study_model on study_model.study_id = study_dataset.study_id
join model on model.id = study_model.model_id
    and coalesce(model.protocol_id, study.protocol_id) = cohort.protocol_id
where study_dataset.study_id = :study_id
order by study_dataset.position, cohort.id
