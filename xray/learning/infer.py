"""Inference: logits, and pooled features, of a network for pictures of the pixel cache."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xray.learning.feed import Feed
from xray.learning.memory import keep_memory
from xray.learning.network import Network, findings_of, image_size_of, logits_of
from xray.pixels.changes import Indexed
from xray.pixels.scale import to_network_range

BATCH = 128
FEW: Final = 8 * 224**2
"""Pixels of a batch for a program of onnxruntime: what it computes on stays in a core's cache."""


def score(
    network: nn.Module,
    pixels: Indexed,
    positions: NDArray[np.int64],
    own: Sequence[str] = (),
    threads: int = 1,
) -> NDArray[np.float32]:
    """Logits (n_images, n_findings) of the pictures at `positions` (n_images,), without augmentation.

    own: the datasets whose images they are, for a network with a head per dataset. threads: how many batches a network of
    onnxruntime may work on at once, each on one core; the logits are the same to the bit.
    """
    network.eval()
    logits = np.empty((len(positions), len(findings_of(network))), dtype=np.float32)
    if getattr(network, "concurrent", False):
        _score_at_once(network, pixels, positions, own, threads, logits)
        return logits
    with torch.inference_mode():
        for start, batch in _batches(network, pixels, positions):
            logits[start : start + BATCH] = logits_of(network, batch, own).cpu().numpy()
    return logits


def _score_at_once(
    network: nn.Module,
    pixels: Indexed,
    positions: NDArray[np.int64],
    own: Sequence[str],
    threads: int,
    logits: NDArray[np.float32],
) -> None:
    """Fill `logits` by batches, `threads` of them at a time; what a batch is does not depend on `threads`."""
    size = min(BATCH, max(1, FEW // image_size_of(network) ** 2))

    def fill(start: int) -> None:
        with torch.inference_mode():  # of this thread
            batch = torch.from_numpy(_batch(pixels, positions[start : start + size]))
            logits[start : start + size] = logits_of(network, batch, own).numpy()

    starts = range(0, len(positions), size)
    if threads == 1:
        for start in starts:
            fill(start)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="scoring")
    try:
        for _ in pool.map(fill, starts):
            pass
    finally:  # an interrupt does not wait for what was not begun
        pool.shutdown(wait=False, cancel_futures=True)


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
    feed = Feed(device)

    def load(start: int) -> Tensor:
        return feed(_batch(pixels, positions[start : start + BATCH]))

    starts = range(0, len(positions), BATCH)
    if device.type == "cpu":
        yield from ((start, load(start)) for start in starts)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="feed") as thread:  # a batch ahead of a GPU
        ahead = thread.submit(load, 0)
        for start in starts:
            batch, after = ahead.result(), start + BATCH
            if after < len(positions):
                ahead = thread.submit(load, after)
            yield start, batch


def _batch(pixels: Indexed, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Pictures as a network takes them: float32 (n, 1, size, size) in [-1024, 1024]."""
    return to_network_range(pixels[positions])[:, None]
