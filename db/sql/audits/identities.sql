-- identities: images or patients that are one and are not stored as one: copies of one original, equal content, one patient's
-- name at a site, one picture; and canonical images that are none.
-- Columns: what, site (NULL: across sites), name, as_many (how many they are stored as).
-- Then: restore a backup from before; overlaps and clustered intervals do not know of them.
select 'picture' as what, null as site, content_hash as name, count(distinct canonical_id) as as_many
from image where content_hash is not null group by content_hash having count(distinct canonical_id) > 1
union all
select 'original', site.name, named.name, count(distinct named.canonical_id)
from (
    select site_id, original as name, canonical_id from image where original is not null
    union all
    select original.site_id, original.name, original.canonical_id
    from image as original
    join (select distinct site_id, original from image where original is not null) as copied
        on copied.site_id = original.site_id and copied.original = original.name
) as named
join site on site.id = named.site_id
group by site.name, named.name having count(distinct named.canonical_id) > 1
union all
select 'patient', site.name, image.patient, count(distinct image.patient_id)
from image join site on site.id = image.site_id
where image.patient is not null group by site.name, image.patient having count(distinct image.patient_id) > 1
union all
select 'patient of a picture', null, canonical.name, count(distinct image.patient_id)
from image join image as canonical on canonical.id = image.canonical_id
group by canonical.id, canonical.name having count(distinct image.patient_id) > 1
union all
select 'canonical image', site.name, image.name, 2
from image
join image as canonical on canonical.id = image.canonical_id and canonical.canonical_id <> canonical.id
join site on site.id = image.site_id
