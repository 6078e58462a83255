-- One row per plan of re-reads of these cohorts of which something was read: worklist_id, task_id, cohort_id, reference_cohort_id,
-- strata, sizes, drawn; and, in the same order, one entry per read: positions (of the image in the cohort's list, from 1), readers,
-- answers. Parameter: cohort_ids.
select reread_plan.worklist_id, worklist.task_id, reread_plan.cohort_id, reread_plan.reference_cohort_id,
    reread_plan.strata, reread_plan.sizes, reread_plan.drawn,
    array_agg(array_position(image_list.image_ids, worklist_image.image_id)
        order by worklist_read.position, worklist_read.reader) as positions,
    array_agg(worklist_read.reader order by worklist_read.position, worklist_read.reader) as readers,
    array_agg(worklist_read.answer order by worklist_read.position, worklist_read.reader) as answers
from reread_plan
join worklist on worklist.id = reread_plan.worklist_id
join cohort on cohort.id = reread_plan.cohort_id
join image_list on image_list.id = cohort.image_list_id
join worklist_image on worklist_image.worklist_id = reread_plan.worklist_id
join worklist_read
    on worklist_read.worklist_id = worklist_image.worklist_id and worklist_read.position = worklist_image.position
where reread_plan.cohort_id = any(:cohort_ids) and reread_plan.reference_cohort_id = any(:cohort_ids)
group by reread_plan.worklist_id, worklist.id
order by reread_plan.worklist_id
