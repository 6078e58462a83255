-- One row: a code per (site, patient), aligned with the image list; an image of unknown patient has its own. Parameter:
-- image_list_id. For COPY.
select array_agg(code order by position)
from (
    select
        listed.position,
        dense_rank() over (
            order by image.site_id, coalesce('p' || image.patient, 'i' || image.id)
        )::integer as code
    from image_list
    cross join lateral unnest(image_list.image_ids) with ordinality as listed (image_id, position)
    join image on image.id = listed.image_id
    where image_list.id = %(image_list_id)s
) as coded
