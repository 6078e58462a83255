-- identities: one row per (dataset, image): who and what it shows, whatever the dataset calls them. Images with one picture_id are
-- one picture, those with one patient_id of one patient.
-- Columns: dataset, image, picture_id, picture_site, picture (the first name of the picture, and the site that has it),
-- patient_id, patient_site, patient (as the patient was first called, and where; NULL where nobody tells who it is).
create or replace view identities as
select
    dataset.name as dataset,
    image.name as image,
    image.canonical_id as picture_id,
    picture_site.name as picture_site,
    picture.name as picture,
    image.patient_id,
    patient_site.name as patient_site,
    patient.name as patient
from dataset
join image_list on image_list.id = dataset.image_list_id
cross join lateral unnest(image_list.image_ids) as listed (image_id)
join image on image.id = listed.image_id
left join image as picture on picture.id = image.canonical_id
left join site as picture_site on picture_site.id = picture.site_id
left join patient on patient.id = image.patient_id
left join site as patient_site on patient_site.id = patient.site_id;
