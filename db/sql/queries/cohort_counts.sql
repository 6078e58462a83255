-- One row per task of some cohorts, in output order: task, n_pos, n_neg. Parameter: cohorts (ids).
select task.name as task, sum(cohort_label.n_pos)::integer as n_pos, sum(cohort_label.n_neg)::integer as n_neg
from cohort_label
join task on task.id = cohort_label.task_id
where cohort_label.cohort_id = any(:cohorts)
group by task.id
order by task.id
