-- One row: images (repeats counted) and patients whose names are known of some cohorts. Parameter: cohorts (ids).
select count(*)::integer as images, count(distinct patient.id)::integer as patients
from cohort
join image_list on image_list.id = cohort.image_list_id
cross join lateral unnest(image_list.image_ids) as listed (image_id)
join image on image.id = listed.image_id
left join patient on patient.id = image.patient_id and patient.name is not null
where cohort.id = any(:cohorts)
