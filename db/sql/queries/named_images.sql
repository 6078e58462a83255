-- One row per image of these: id, image (its name), path (of its file; NULL where there is none here). Parameter: image_ids.
select image.id, image.name as image, image.path from image where image.id = any(:image_ids) order by image.id
