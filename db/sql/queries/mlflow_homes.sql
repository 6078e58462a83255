-- For MLflow's database. One row per folder whose mlflow/artifacts holds experiments, as a URI: place.
select distinct left(artifact_location, -length('/mlflow/artifacts/' || name)) as place
from experiments
where starts_with(artifact_location, 'file:///') and right(artifact_location, length('/mlflow/artifacts/' || name))
    = '/mlflow/artifacts/' || name
