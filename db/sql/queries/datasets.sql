-- One row per dataset: dataset, site, source, images, patients, tasks, registered_at.
select
    dataset.name as dataset,
    site.name as site,
    dataset.source,
    image_list.length as images,
    (
        select count(distinct patient.id)
        from unnest(image_list.image_ids) as listed (image_id)
        join image on image.id = listed.image_id
        join patient on patient.id = image.patient_id and patient.name is not null
    ) as patients,
    (select count(*) from label where label.dataset_id = dataset.id) as tasks,
    to_char(dataset.registered_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') as registered_at
from dataset
join site on site.id = dataset.site_id
join image_list on image_list.id = dataset.image_list_id
order by dataset.id
