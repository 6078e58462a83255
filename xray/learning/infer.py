"""Inference: logits, and pooled features, of a network for pictures of the pixel cache."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xray.learning.memory import keep_memory
from xray.learning.network import Network, findings_of, logits_of
from xray.pixels.changes import Indexed
from xray.pixels.scale import to_network_range

BATCH = 128


def score(
    network: nn.Module, pixels: Indexed, positions: NDArray[np.int64], own: Sequence[str] = ()
) -> NDArray[np.float32]:
    """Logits (n_images, n_findings) of the pictures at `positions` (n_images,), without augmentation.

    own: the datasets whose images they are, for a network with a head per dataset.
    """
    network.eval()
    logits = np.empty((len(positions), len(findings_of(network))), dtype=np.float32)
    with torch.inference_mode():
        for start, batch in _batches(network, pixels, positions):
            logits[start : start + BATCH] = logits_of(network, batch, own).cpu().numpy()
    return logits


def outputs(network: Network, pixels: Indexed, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Every output, (n_images, n_heads, n_tasks), of the pictures at `positions` (n_images,)."""
    network.eval()
    logits = np.empty((len(positions), *network.trained.shape), dtype=np.float32)
    with torch.inference_mode():
        for start, batch in _batches(network, pixels, positions):
            logits[start : start + BATCH] = network(batch).unflatten(1, network.trained.shape).cpu().numpy()
    return logits


def features(network: Network, pixels: Indexed, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Pooled features (n_images, n_features) of the pictures at `positions` (n_images,): what the last layer reads."""
    network.eval()
    with torch.inference_mode():
        batches = [network.features(batch).cpu().numpy() for _, batch in _batches(network, pixels, positions)]
    return np.concatenate(batches) if batches else np.empty((0, 0), np.float32)


def _batches(
    network: nn.Module, pixels: Indexed, positions: NDArray[np.int64]
) -> Iterator[tuple[int, Tensor]]:
    keep_memory()
    weights = next(network.parameters(), None)  # a program of another runtime has none
    device = torch.device("cpu") if weights is None else weights.device
    for start in range(0, len(positions), BATCH):
        batch = torch.from_numpy(to_network_range(pixels[positions[start : start + BATCH]])[:, None])
        yield start, batch.to(device, memory_format=torch.channels_last)
