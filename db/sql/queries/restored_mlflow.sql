-- Files of a home that was moved are where it is now, in MLflow's database. Parameters: former, home (file: URLs without a slash
-- at the end).
with in_runs as (
    update runs set artifact_uri = :home || substr(artifact_uri, length(:former) + 1)
    where starts_with(artifact_uri, :former || '/')
),
in_experiments as (
    update experiments set artifact_location = :home || substr(artifact_location, length(:former) + 1)
    where starts_with(artifact_location, :former || '/')
),
in_models as (
    update logged_models set artifact_location = :home || substr(artifact_location, length(:former) + 1)
    where starts_with(artifact_location, :former || '/')
)
update model_versions set storage_location = :home || substr(storage_location, length(:former) + 1)
where starts_with(storage_location, :former || '/')
