-- One row per image of a dataset, in its order: image_id, image, patient (as the site calls it), path, view, age, sex,
-- content_hash, patient_site, patient_key (of who it is, whatever the name). Parameter: dataset_id.
select
    image.id as image_id, image.name as image, image.patient, image.path, image.view, image.age,
    image.sex, image.content_hash, site.name as patient_site, patient.key as patient_key
from dataset
join image_list on image_list.id = dataset.image_list_id
cross join lateral unnest(image_list.image_ids) with ordinality as listed (image_id, position)
join image on image.id = listed.image_id
join patient on patient.id = image.patient_id
join site on site.id = patient.site_id
where dataset.id = :dataset_id
order by listed.position
