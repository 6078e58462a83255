-- Adds the patients of incoming images that the site has no patient for yet: those of a new name, and for an image that is new
-- and whose patient nobody tells, one of its own. Parameter: site_id.
insert into patient (site_id, name, key)
select :site_id, unseen.patient, unseen.key
from (
    select distinct incoming.patient, coalesce('patient ' || incoming.patient, 'image ' || incoming.name) as key
    from incoming
    left join image on image.site_id = :site_id and image.name = incoming.name
    where
        image.id is null
        and not exists (
            select from image as other where other.site_id = :site_id and other.patient = incoming.patient
        )
) as unseen
order by unseen.key
on conflict (site_id, key) do nothing
