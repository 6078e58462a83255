"""Programs that onnxruntime runs on a CPU: models that came as ONNX files, and our own networks, which it runs quicker."""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def open_session(model: str | bytes, threads: int = 1) -> Any:
    """A session of onnxruntime for a file or its content. Raises `ImportError` where the extra is missing."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Program(nn.Module):
    """A network as a program of onnxruntime. forward: (n, channels, size, size) float32 on the CPU → (n, n_outputs).

    Each call computes on one thread; several threads may call at once.
    """

    def __init__(self, network: nn.Module, shape: Sequence[int]) -> None:
        super().__init__()
        self.session = open_session(exported(network, shape))

    def forward(self, pixels: Tensor) -> Tensor:
        """The network's outputs, to its rounding."""
        (outputs,) = self.session.run(None, {"pixels": pixels.contiguous().numpy()})
        return torch.from_numpy(outputs)


def exported(network: nn.Module, shape: Sequence[int]) -> bytes:
    """The network in ONNX, for any number of pictures of `shape` (channels, size, size).

    By torch's older exporter: a DenseNet-121 takes it one second, and the newer one ten.
    """
    names: dict[str, Any] = {"input_names": ["pixels"], "output_names": ["outputs"]}
    changing = {"pixels": {0: "n"}, "outputs": {0: "n"}}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch calls it deprecated
        file = Path(folder) / "network.onnx"
        example = (torch.zeros(2, *shape),)
        torch.onnx.export(network, example, file, dynamo=False, dynamic_axes=changing, **names)
        return file.read_bytes()
