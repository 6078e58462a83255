-- Makes patients who are one the first of them: those of one picture, and those of one name at the site. To be repeated until it
-- changes nothing; it answers with the ids of the images that it changed. Parameter: site_id.
with grouped as (
    select 'c' || image.canonical_id as node, image.patient_id
    from image
    where image.canonical_id in (select copy.canonical_id from image as copy where copy.canonical_id <> copy.id)
    union all
    select 'n' || image.patient, image.patient_id
    from image
    where image.site_id = :site_id and image.patient is not null
),
first as (
    select node, min(patient_id) as patient_id from grouped group by node having min(patient_id) < max(patient_id)
),
moved as (
    select grouped.patient_id as before, min(first.patient_id) as after
    from grouped
    join first on first.node = grouped.node and first.patient_id < grouped.patient_id
    group by grouped.patient_id
)
update image set patient_id = moved.after
from moved
where image.patient_id = moved.before
returning image.id
