-- One row per dataset of a study, in the study's order: dataset, site, guest. Parameter: study_id.
select dataset.name as dataset, site.name as site, study_dataset.guest
from study_dataset
join dataset on dataset.id = study_dataset.dataset_id
join site on site.id = dataset.site_id
where study_dataset.study_id = :study_id
order by study_dataset.position
