-- One row per cohort: cohort_id, image_list_id. Parameter: cohort_ids.
select cohort.id as cohort_id, cohort.image_list_id from cohort where cohort.id = any(:cohort_ids) order by cohort.id
