-- One row: images (repeats counted) and known patients of some cohorts of one site. Parameter: cohorts (ids).
select count(*)::integer as images, count(distinct image.patient)::integer as patients
from cohort
join image_list on image_list.id = cohort.image_list_id
cross join lateral unnest(image_list.image_ids) as listed (image_id)
join image on image.id = listed.image_id
where cohort.id = any(:cohorts)
