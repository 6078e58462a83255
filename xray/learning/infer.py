"""Inference: logits of a network for pictures of the pixel cache."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from xray.pixels.grey import Grey
from xray.pixels.pool import Pool
from xray.pixels.scale import to_network_range
from xray.tasks import TASKS

BATCH = 128


def score(network: nn.Module, pixels: Grey | Pool, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Logits (n_images, n_tasks) of the pictures at `positions` (n_images,), without augmentation."""
    network.eval()
    logits = np.empty((len(positions), len(TASKS)), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(positions), BATCH):
            chosen = positions[start : start + BATCH]
            batch = torch.from_numpy(to_network_range(pixels[chosen])[:, None])
            logits[start : start + BATCH] = network(batch.to(memory_format=torch.channels_last)).numpy()
    return logits
