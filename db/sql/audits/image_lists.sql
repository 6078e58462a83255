-- image_lists: lists of images whose content hash is not that of their content, or that hold an image that does not exist.
-- Columns: image_list_id, stored, content (NULL: an image does not exist, or a name was lost), used_by (cohorts).
-- Then: restore a backup from before; an image list is frozen, and everything in its order would mean something else.
select image_list.id as image_list_id, image_list.content_hash as stored, found.content,
    array(
        select dataset.name || '/' || cohort.part from cohort join dataset on dataset.id = cohort.dataset_id
        where cohort.image_list_id = image_list.id order by 1
    ) as used_by
from image_list
cross join lateral (
    select case when count(*) = count(image.id) and count(site.id) = count(*) then encode(sha256(string_agg(
        convert_to(site.name || '/' || image.name, 'UTF8') || '\x00'::bytea, ''::bytea order by listed.position
    )), 'hex') end as content
    from unnest(image_list.image_ids) with ordinality as listed (id, position)
    left join image on image.id = listed.id
    left join site on site.id = image.site_id
) as found
where found.content is distinct from image_list.content_hash or cardinality(image_list.image_ids) <> image_list.length
