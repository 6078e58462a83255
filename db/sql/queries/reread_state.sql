-- One row per plan of re-reads of these cohorts that was read: worklist_id, and answers, a hash of who said what. Parameter: cohort_ids.
select reread_plan.worklist_id,
    md5(string_agg(
        format('%s %s %s', worklist_read.position, worklist_read.answer, worklist_read.reader), E'\n'
        order by worklist_read.position, worklist_read.reader
    )) as answers
from reread_plan
join worklist_read on worklist_read.worklist_id = reread_plan.worklist_id
where reread_plan.cohort_id = any(:cohort_ids) and reread_plan.reference_cohort_id = any(:cohort_ids)
group by reread_plan.worklist_id
order by reread_plan.worklist_id
