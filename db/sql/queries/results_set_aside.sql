-- One row per dataset of a study with rows or pictures that were set aside: dataset, reason (one of them), n. Parameter: study.
select dataset.name as dataset, min(quarantine.reason) as reason, count(*) as n
from quarantine
join dataset on dataset.id = quarantine.dataset_id
join study_dataset on study_dataset.dataset_id = dataset.id
join study on study.id = study_dataset.study_id
where study.name = :study and not quarantine.kept
group by dataset.name, study_dataset.position
order by study_dataset.position
