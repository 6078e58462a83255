-- One row: view, sex and age of a list's images, in its order: views, sexes, ages (NULL where unknown). Parameter: image_list_id.
select
    array_agg(image.view order by listed.position) as views,
    array_agg(image.sex order by listed.position) as sexes,
    array_agg(image.age order by listed.position) as ages
from image_list
cross join lateral unnest(image_list.image_ids) with ordinality as listed (image_id, position)
join image on image.id = listed.image_id
where image_list.id = :image_list_id
group by image_list.id
