-- One row per image of some names, at whatever site: image_id, name. Parameter: names.
select image.id as image_id, image.name from image where image.name = any(cast(:names as text [])) order by image.id
