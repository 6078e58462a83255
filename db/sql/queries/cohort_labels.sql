-- One row per labelled task of a cohort: task_id, labels with -1 for NULL. Parameter: cohort_id. For COPY.
select task_id, array_replace(labels, null, -1::smallint) from cohort_label where cohort_id = %(cohort_id)s
