-- One row per native column of a dataset, in the order of its file: codes, from 1. Parameter: dataset_id. For COPY.
select codes from native_column where dataset_id = %(dataset_id)s order by position
