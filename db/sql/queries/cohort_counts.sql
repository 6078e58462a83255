-- One row per task of a dataset's cohorts under a protocol, in output order: task, n_pos, n_neg. Parameters: dataset_id,
-- protocol, part (NULL for all parts).
select task.name as task, sum(cohort_label.n_pos)::integer as n_pos, sum(cohort_label.n_neg)::integer as n_neg
from cohort
join protocol on protocol.id = cohort.protocol_id
join cohort_label on cohort_label.cohort_id = cohort.id
join task on task.id = cohort_label.task_id
where cohort.dataset_id = :dataset_id and protocol.name = :protocol and (cast(:part as text) is null or cohort.part = :part)
group by task.id
order by task.id
