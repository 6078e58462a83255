-- One row per reader of the dataset of a cohort, by name: dataset_id, dataset_list (image list of the dataset), cohort_list (of
-- the cohort), rule, reader_id, reader (name). None where it has one label an image. Parameter: cohort_id.
select dataset.id as dataset_id, dataset.image_list_id as dataset_list, cohort.image_list_id as cohort_list,
    dataset.reader_rule as rule, reader.id as reader_id, reader.name as reader
from cohort
join dataset on dataset.id = cohort.dataset_id
join reader on reader.dataset_id = dataset.id
where cohort.id = :cohort_id
order by reader.name
