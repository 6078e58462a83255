-- Makes images that show one picture one canonical image, the first of them: copies of one original at the site, and images of
-- equal content at any site. To be repeated until it changes nothing; it answers with the ids of the images that it changed.
-- Parameter: site_id.
with grouped as (
    select 'n' || original.name as node, original.canonical_id
    from image as original
    where original.site_id = :site_id and original.name in (
        select image.original from image where image.site_id = :site_id and image.original is not null
    )
    union all
    select 'n' || image.original, image.canonical_id
    from image
    where image.site_id = :site_id and image.original is not null
    union all
    select 'c' || image.content_hash, image.canonical_id
    from image
    where image.content_hash in (select incoming.content_hash from incoming)
),
first as (
    select node, min(canonical_id) as canonical_id from grouped group by node having min(canonical_id) < max(canonical_id)
),
moved as (
    select grouped.canonical_id as before, min(first.canonical_id) as after
    from grouped
    join first on first.node = grouped.node and first.canonical_id < grouped.canonical_id
    group by grouped.canonical_id
)
update image set canonical_id = moved.after
from moved
where image.canonical_id = moved.before
returning image.id
