-- One row per task that a dataset speaks of: task_id, term_ids with 0 for NULL. Parameter: dataset_id. For COPY.
select task_id, array_replace(term_ids, null, 0) from label where dataset_id = %(dataset_id)s and term_ids is not null
