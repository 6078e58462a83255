-- One row per finding that any image of some cohorts has a label of: task_id. Parameter: cohorts (ids).
select distinct task_id from cohort_label where cohort_id = any(cast(:cohorts as integer[])) and n_pos + n_neg > 0
