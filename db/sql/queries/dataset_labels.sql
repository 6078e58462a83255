-- One row per task that a dataset speaks of: task_id, states. Parameter: dataset_id. For COPY.
select task_id, states from label where dataset_id = %(dataset_id)s
