-- One row per native column of a dataset, in the order of its file: name, terms. Parameter: dataset_id.
select name, terms from native_column where dataset_id = :dataset_id order by position
