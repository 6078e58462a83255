-- For MLflow's database. Writes the places of artifacts anew that lie below a folder that has moved.
-- Parameters: former, present: beginnings of URIs or paths, which end in /.
with
moved_experiments as (
    update experiments set artifact_location = :present || substr(artifact_location, length(:former) + 1)
    where starts_with(artifact_location, :former)
),
moved_runs as (
    update runs set artifact_uri = :present || substr(artifact_uri, length(:former) + 1)
    where starts_with(artifact_uri, :former)
),
moved_models as (
    update logged_models set artifact_location = :present || substr(artifact_location, length(:former) + 1)
    where starts_with(artifact_location, :former)
),
moved_sources as (
    update model_versions set
        source = case when starts_with(source, :former)
            then :present || substr(source, length(:former) + 1) else source end,
        storage_location = case when starts_with(storage_location, :former)
            then :present || substr(storage_location, length(:former) + 1) else storage_location end
    where starts_with(source, :former) or starts_with(storage_location, :former)
)
select 1
