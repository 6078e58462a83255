-- One row per dataset that has an image: dataset_id, and pictures, the hash of its pictures' content in order, by which caches of
-- pictures are known; NULL where it was registered without. Parameter: id.
select dataset.id as dataset_id,
    (
        select case when count(picture.content_hash) = count(*)
            then encode(sha256(convert_to(string_agg(picture.content_hash, E'\n' order by listed.position), 'UTF8')), 'hex') end
        from unnest(image_list.image_ids) with ordinality as listed (image_id, position)
        join image as picture on picture.id = listed.image_id
    ) as pictures
from image
join dataset on dataset.site_id = image.site_id
join image_list on image_list.id = dataset.image_list_id
where image.id = %(id)s and array_position(image_list.image_ids, image.id) is not null
