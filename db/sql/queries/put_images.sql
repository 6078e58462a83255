-- Adds the incoming images to a site; what it knows of an image stays, what it did not know is filled in, the path is the
-- latest. Parameter: site_id.
insert into image (site_id, name, patient, original, content_hash, perceptual_hash, path, view, age, sex)
select :site_id, name, patient, original, content_hash, perceptual_hash, path, view, age, sex
from incoming
order by position
on conflict (site_id, name) do update set
    patient = coalesce(image.patient, excluded.patient),
    original = coalesce(image.original, excluded.original),
    content_hash = coalesce(image.content_hash, excluded.content_hash),
    perceptual_hash = coalesce(image.perceptual_hash, excluded.perceptual_hash),
    path = coalesce(excluded.path, image.path),
    view = coalesce(image.view, excluded.view),
    age = coalesce(image.age, excluded.age),
    sex = coalesce(image.sex, excluded.sex)
