"""Networks by name, ours or timm's: one input channel in [-1024, 1024], one output per task, or one per (dataset, task)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from xray.errors import LearningError
from xray.learning.small_convnet import SmallConvNet
from xray.learning.transitions import pool_first
from xray.tasks import TASKS

FULL_SCALE = 1024.0


class Network(nn.Module):
    """A timm classifier, or `SmallConvNet`, with the platform's input and heads.

    heads: names of the datasets that have outputs of their own; none: one head that all share. findings: what the outputs
    of a head are of. trained: bool (n_heads, n_findings), the outputs that were trained. forward: (n, 1, size, size) float32
    in [-1024, 1024] → the outputs, (n, n_heads · n_findings), head by head.
    """

    concurrent = False
    """Whether several threads may score at once, each on one core."""

    def __init__(
        self, name: str, image_size: int, heads: Sequence[str] = (), findings: Sequence[str] = TASKS
    ) -> None:
        super().__init__()
        self.name = name
        self.image_size = image_size
        self.heads = tuple(heads)
        self.findings = tuple(findings)
        self.trained: NDArray[np.bool_] = np.ones((max(1, len(self.heads)), len(self.findings)), dtype=bool)
        n_outputs = self.trained.size
        self.body: Any = _body(name, n_outputs)

    def forward(self, pixels: Tensor) -> Tensor:
        """Outputs (n, n_heads · n_tasks) of pixels (n, 1, size, size) in [-1024, 1024]."""
        outputs: Tensor = self.body(pixels / FULL_SCALE)
        return outputs

    def logits(self, pixels: Tensor, own: Sequence[str] = ()) -> Tensor:
        """Logits (n, n_tasks): of the heads of the datasets `own`, and where none of them was trained for a task, or none is
        named, the mean over all heads that were.
        """
        outputs = self(pixels)
        if not self.heads:
            return outputs
        share = torch.from_numpy(self._share(own)).to(outputs)
        return (outputs.unflatten(1, share.shape) * share).sum(dim=1)

    def _share(self, own: Sequence[str]) -> NDArray[np.float32]:
        """What each head adds to a task's logit, (n_heads, n_tasks); 0 for a task that none was trained for."""
        heads = self.trained & np.isin(self.heads, own)[:, None]
        weights = np.where(heads.any(axis=0), heads, self.trained)
        share: NDArray[np.float32] = (weights / np.maximum(weights.sum(axis=0), 1)).astype(np.float32)
        return share

    def features(self, pixels: Tensor) -> Tensor:
        """Pooled features (n, n_features) that the classifier rows are applied to."""
        pooled: Tensor = self.body.forward_head(
            self.body.forward_features(pixels / FULL_SCALE), pre_logits=True
        )
        return pooled

    def classifier(self) -> tuple[Tensor, Tensor] | None:
        """Weights (n_outputs, n_features) and bias (n_outputs,) of the last layer: logits = features · weightsᵀ + bias.

        None where the network does not end in one linear layer.
        """
        layer = self.body.get_classifier()
        if not isinstance(layer, nn.Linear):
            return None
        bias = layer.bias if layer.bias is not None else layer.weight.new_zeros(len(layer.weight))
        return layer.weight.detach(), bias.detach()


def _body(name: str, n_outputs: int) -> nn.Module:
    """An untrained network of one channel. Raises `LearningError` where timm has none of this name."""
    if name == "small_convnet":
        return SmallConvNet(in_chans=1, num_classes=n_outputs)
    import timm  # with torchvision, seconds: only where a network is theirs

    if name not in timm.list_models():
        near = timm.list_models(f"*{name.split('_')[0]}*")[:8]
        raise LearningError(f"timm has no network {name!r}; near names: {', '.join(near) or 'none'}")
    return pool_first(timm.create_model(name, pretrained=False, in_chans=1, num_classes=n_outputs))


def logits_of(network: nn.Module, pixels: Tensor, own: Sequence[str] = ()) -> Tensor:
    """Logits (n, n_tasks) of a network of ours, by the heads of datasets `own` where it has several, or of a foreign one."""
    logits: Tensor = network.logits(pixels, own) if isinstance(network, Network) else network(pixels)
    return logits


def findings_of(network: nn.Module) -> tuple[str, ...]:
    """What the logits of a network, ours or a foreign one, are of."""
    findings: Any = network.findings
    return tuple(findings)


def image_size_of(network: nn.Module) -> int:
    """Pixels along a side of the pictures that a network takes."""
    size: Any = network.image_size
    return int(size)


def save(network: Network, path: Path) -> None:
    """Write weights as safetensors, with what is needed to build the network again in the header."""
    about = {
        "network": network.name,
        "image_size": str(network.image_size),
        "tasks": json.dumps(network.findings),
    }
    if network.heads:
        about |= {"heads": json.dumps(network.heads), "trained": json.dumps(network.trained.tolist())}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, path, metadata=about)


def load(path: Path) -> Network:
    """The network of a safetensors file of ours, on the CPU, in evaluation mode. Nothing is unpickled.

    Raises `LearningError` where the file is not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (OSError, SafetensorError) as error:
        raise LearningError(f"{path}: not a safetensors file: {error}") from None
    try:
        findings = _findings(about, path)
        heads = json.loads(about.get("heads", "[]"))
        network = Network(about["network"], int(about["image_size"]), heads, findings)
        network.load_state_dict(tensors)
        if network.heads:
            network.trained = np.array(json.loads(about["trained"]), dtype=bool).reshape(
                network.trained.shape
            )
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise LearningError(f"{path}: not a weights file of this platform: {error!r:.200}") from None
    return network.to(memory_format=torch.channels_last).eval()


def _findings(about: dict[str, str], path: Path) -> tuple[str, ...]:
    """What the outputs of a file of ours are of. Raises `LearningError` where it does not say so."""
    findings = json.loads(about.get("tasks", "[]"))
    if (
        not findings
        or not all(isinstance(name, str) for name in findings)
        or len(set(findings)) < len(findings)
    ):
        raise LearningError(f"{path}: its header does not say which finding each output is of")
    return tuple(findings)
