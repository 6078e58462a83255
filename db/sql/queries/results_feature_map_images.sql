-- One row per image of a study's feature map and dataset of the study that labels it: image_id, site, image, dataset, and
-- positive, the findings that its labels there affirm; both NULL where no dataset does. Parameter: study.
with drawn as (
    select distinct feature_map.image_id
    from feature_map
    join analysis on analysis.id = feature_map.analysis_id
    join study on study.id = analysis.study_id
    where study.name = :study
),
labelled as (
    select
        listed.image_id, dataset.name as dataset, study_dataset.position,
        coalesce(array_agg(task.name order by task.id) filter (where listed.state = 1), '{}') as positive
    from study
    join study_dataset on study_dataset.study_id = study.id
    join dataset on dataset.id = study_dataset.dataset_id
    join image_list on image_list.id = dataset.image_list_id
    join label on label.dataset_id = dataset.id
    join task on task.id = label.task_id
    cross join lateral rows from (elements(image_list.image_ids), elements(label.states)) as listed (image_id, state)
    join drawn on drawn.image_id = listed.image_id
    where study.name = :study
    and dataset.site_id in (select image.site_id from drawn join image on image.id = drawn.image_id)
    group by listed.image_id, dataset.name, study_dataset.position
)
select image.id as image_id, site.name as site, image.name as image, labelled.dataset, labelled.positive
from drawn
join image on image.id = drawn.image_id
join site on site.id = image.site_id
left join labelled on labelled.image_id = image.id
order by image.id, labelled.position
