-- One row: the names of a cohort's images in order, and its hashes: names, list_hash, content_hash. Parameter: cohort_id.
select
    (
        select array_agg(image.name order by listed.position)
        from unnest(image_list.image_ids) with ordinality as listed (image_id, position)
        join image on image.id = listed.image_id
    ) as names,
    image_list.content_hash as list_hash,
    cohort.content_hash
from cohort
join image_list on image_list.id = cohort.image_list_id
where cohort.id = :cohort_id
