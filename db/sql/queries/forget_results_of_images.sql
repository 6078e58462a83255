-- Makes the analyses of every study stale that has a dataset with one of some images. Parameter: images (ids).
update analysis set fingerprint = ''
where exists (
    select from study_dataset
    join dataset on dataset.id = study_dataset.dataset_id
    join image_list on image_list.id = dataset.image_list_id
    cross join lateral unnest(image_list.image_ids) as listed (image_id)
    join unnest(cast(:images as integer[])) as changed (image_id) on changed.image_id = listed.image_id
    where study_dataset.study_id = analysis.study_id
)
