-- One row per image of some image lists, by id: image_id, site_id, name (of the original, where it is a copy), content_hash,
-- patient. Parameter: image_lists (ids).
select image.id as image_id, image.site_id, coalesce(image.original, image.name) as name, image.content_hash, image.patient
from image
where image.id in (select unnest(image_list.image_ids) from image_list where image_list.id = any(:image_lists))
order by image.id
