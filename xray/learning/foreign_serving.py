"""What `mlflow.pyfunc.load_model` calls for a model from elsewhere: the interface of our own (`xray.learning.serving`)."""

import json
from pathlib import Path

from xray.learning.foreign_import import ABOUT, read_kept
from xray.learning.serving import Served


def _load_pyfunc(data_path: str) -> Served:
    """MLflow's entry: `data_path` is the folder that was kept."""
    folder = Path(data_path)
    return Served(read_kept(folder, json.loads((folder / ABOUT).read_text(encoding="utf-8"))))
