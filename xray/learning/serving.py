"""What `mlflow.pyfunc.load_model` calls: our weights behind MLflow's predict, without unpickling.

model = mlflow.pyfunc.load_model("models:/phantom.phantom-a/1")
logits = model.predict(pixels)      # (n, 1, size, size) float32 in [-1024, 1024] → (n, n_findings)
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from xray.learning.hashes import WEIGHTS, check_sums
from xray.learning.network import load, logits_of


class Served:
    """A network with MLflow's interface: numpy in, numpy out."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def predict(
        self, pixels: NDArray[np.float32], params: dict[str, Any] | None = None
    ) -> NDArray[np.float32]:
        """Logits (n, n_findings) of pixels (n, 1, size, size) in [-1024, 1024]; `params` are not used.

        Of a network with a head per dataset the mean over the heads.
        """
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))
            logits: NDArray[np.float32] = logits_of(self.network, batch).numpy()
        return logits


def _load_pyfunc(data_path: str) -> Served:
    """MLflow's entry: `data_path` is the folder of the weights, or the file itself.

    Raises `LearningError` where the weights are not those that were stored.
    """
    path = Path(data_path)
    if not path.is_dir():
        return Served(load(path))
    check_sums(path)
    return Served(load(path / WEIGHTS))
