-- One row per quarantined row or picture of a dataset: file, row, image, reason, kept, at. Parameter: dataset_id.
select file, row, image, reason, kept, at from quarantine where dataset_id = :dataset_id order by id
