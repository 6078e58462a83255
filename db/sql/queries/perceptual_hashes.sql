-- One row per image whose picture was looked at: image_id, canonical_id, site, name, patient, perceptual_hash.
select image.id as image_id, image.canonical_id, site.name as site, image.name, image.patient, image.perceptual_hash
from image
join site on site.id = image.site_id
where image.perceptual_hash is not null
order by image.id
