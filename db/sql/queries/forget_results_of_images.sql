-- Makes the analyses of every study stale that has a dataset with one of some images, and drops what they are put together
-- from. Parameter: images (ids).
with changed as (
    select distinct study_dataset.study_id
    from study_dataset
    join dataset on dataset.id = study_dataset.dataset_id
    join image_list on image_list.id = dataset.image_list_id
    cross join lateral unnest(image_list.image_ids) as listed (image_id)
    join unnest(cast(:images as integer[])) as given (image_id) on given.image_id = listed.image_id
),
dropped as (
    delete from partial_result where study_id in (select study_id from changed)
)
update analysis set fingerprint = '' where study_id in (select study_id from changed)
