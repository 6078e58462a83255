-- One row per image list: image_list_id, pictures (a hash of what all its pictures show, in order; NULL where one has no picture).
-- Parameter: image_lists (ids).
select image_list.id as image_list_id,
    case when bool_and(image.content_hash is not null and image.path is not null) then
        md5(string_agg(image.content_hash, ',' order by listed.position))
    end as pictures
from image_list
cross join lateral unnest(image_list.image_ids) with ordinality as listed (image_id, position)
join image on image.id = listed.image_id
where image_list.id = any(:image_lists)
group by image_list.id
