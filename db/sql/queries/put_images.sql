-- Adds the incoming images to a site, each as a picture of its own, of the patient of its name; what the site knows of an image
-- stays, what it did not know is filled in, the path is the latest. Parameter: site_id.
insert into image (
    id, site_id, name, canonical_id, patient_id, patient, original, content_hash, perceptual_hash, path, view, age, sex
)
select
    numbered.id, :site_id, numbered.name, numbered.id, coalesce(here.patient_id, named.patient_id, patient.id),
    numbered.patient, numbered.original, numbered.content_hash, numbered.perceptual_hash, numbered.path, numbered.view,
    numbered.age, numbered.sex
from (
    select nextval('image_id_seq') as id, ordered.*
    from (select * from incoming order by position) as ordered
) as numbered
left join image as here on here.site_id = :site_id and here.name = numbered.name
left join (
    select image.patient, min(image.patient_id) as patient_id
    from image
    where image.site_id = :site_id
    group by image.patient
) as named on named.patient = numbered.patient
left join patient
    on patient.site_id = :site_id and patient.key = coalesce('patient ' || numbered.patient, 'image ' || numbered.name)
order by numbered.position
on conflict (site_id, name) do update set
    patient = coalesce(image.patient, excluded.patient),
    original = coalesce(image.original, excluded.original),
    content_hash = coalesce(image.content_hash, excluded.content_hash),
    perceptual_hash = coalesce(image.perceptual_hash, excluded.perceptual_hash),
    path = coalesce(excluded.path, image.path),
    view = coalesce(image.view, excluded.view),
    age = coalesce(image.age, excluded.age),
    sex = coalesce(image.sex, excluded.sex)
