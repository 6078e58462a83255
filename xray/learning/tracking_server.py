"""MLflow's web server as one application in one process: pages and API of runs and models, nothing that starts programs.

Reads files of this machine only where our artifacts are: MLflow itself would take any folder for an experiment's.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.utils.file_utils import local_file_uri_to_path

from db.alone import alone

OPEN: Final = frozenset({"/health"})
"""Paths that answer whoever asks: OK, and nothing else."""
CLOSED: Final = (
    "/gateway",
    "/ajax-api/2.0/mlflow/gateway-proxy",
    "/ajax-api/3.0/mlflow/assistant",
    "/ajax-api/3.0/jobs",
)
"""Beginnings of paths that call other servers or start programs; nothing of ours needs them."""


def create_app(database: str, artifacts: Path | str, roots: Sequence[Path]) -> Any:
    """The ASGI application on MLflow's database. artifacts: of new experiments; roots: folders that may be read.

    It checks neither Host nor Origin nor password: that is for whoever stands before it.
    """
    from mlflow.server import constants

    root = artifacts.as_uri() if isinstance(artifacts, Path) else artifacts
    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = database
    os.environ[constants.REGISTRY_STORE_URI_ENV_VAR] = database
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = root
    os.environ["MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE"] = "true"
    keep_to(roots)
    from mlflow.server.handlers import initialize_backend_stores

    with alone(database, "mlflow tables"):
        initialize_backend_stores(database, database, root)
    from mlflow.server.fastapi_app import app

    return app


def keep_to(roots: Sequence[Path]) -> None:
    """From now on, MLflow in this process reads and writes artifacts of this machine below these folders only."""
    allowed = tuple(root.resolve() for root in roots)

    class OwnArtifacts(LocalArtifactRepository):
        """Artifacts in a folder of ours."""

        def __init__(self, artifact_uri: str, *rest: Any, **more: Any) -> None:
            folder = Path(local_file_uri_to_path(artifact_uri)).resolve()
            if not any(folder.is_relative_to(root) for root in allowed):
                raise MlflowException(
                    f"artifacts are read below {', '.join(map(str, allowed)) or 'no folder'} only",
                    PERMISSION_DENIED,
                )
            super().__init__(artifact_uri, *rest, **more)

    for scheme in ("", "file"):
        _artifact_repository_registry.register(scheme, OwnArtifacts)
