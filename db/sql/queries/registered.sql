-- One row per dataset of a name (at most one): dataset_id, content_hash, site, images, patients. Parameter: name.
select
    dataset.id as dataset_id,
    dataset.content_hash,
    site.name as site,
    image_list.length as images,
    (
        select count(distinct patient.id)
        from unnest(image_list.image_ids) as listed (image_id)
        join image on image.id = listed.image_id
        join patient on patient.id = image.patient_id and patient.name is not null
    ) as patients
from dataset
join site on site.id = dataset.site_id
join image_list on image_list.id = dataset.image_list_id
where dataset.name = :name
