"""Training: read `train` from top to bottom.

One network, one seed, one device. Images come augmented from the pixel cache, the objective counts labelled images only, and
the epoch with the best mean validation AUC is kept (protocol §7).
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from xray.errors import LearningError
from xray.learning.infer import score
from xray.learning.network import Network
from xray.learning.objective import masked_bce, task_weights
from xray.learning.recipe import Recipe
from xray.pixels.batches import Batches
from xray.pixels.grey import Grey
from xray.pixels.pool import Pool
from xray.stats.roc import auc


@dataclass(frozen=True)
class Part:
    """Images and labels of one part of the data.

    pixels: every picture, uint8, indexed by position; positions: int64 (n_images,), which of them; labels: float32
    (n_images, n_tasks), 1, 0 or NaN, aligned with positions.
    """

    pixels: Grey | Pool
    positions: NDArray[np.int64]
    labels: NDArray[np.float32]


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to. validation_auc: (n_tasks,), NaN where undefined; waiting: share of time without input."""

    number: int
    loss: float
    validation_auc: NDArray[np.float64]
    seconds: float
    waiting: float

    @property
    def mean_auc(self) -> float:
        """Mean validation AUC over the tasks that have both classes; NaN where no task has."""
        defined = self.validation_auc[~np.isnan(self.validation_auc)]
        return float(defined.mean()) if len(defined) else float("nan")


@dataclass(frozen=True)
class Trained:
    """A network with the weights of its best epoch, and the outputs that were trained, bool (n_tasks,)."""

    network: Network
    best: Epoch
    outputs: NDArray[np.bool_]


def train(
    training: Part,
    validation: Part,
    recipe: Recipe,
    seed: int,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Trained:
    """Train a network by the recipe; `on_epoch` is told after each epoch. The same seed gives the same weights on a CPU.

    An output is trained where the training part has both classes of it. Raises `LearningError` where none has, or when the
    loss is no longer finite.
    """
    outputs = np.array([np.any(task == 0) and np.any(task == 1) for task in training.labels.T])
    if not outputs.any():
        raise LearningError("nothing to learn: no task has both positives and negatives in the training part")
    torch.manual_seed(seed)
    network = Network(recipe.network, recipe.image_size)
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, amsgrad=True
    )
    labels = torch.from_numpy(np.where(outputs, training.labels, np.float32("nan")))
    weights = task_weights((labels == 1).sum(dim=0))
    batches = Batches(
        training.pixels,
        training.positions,
        recipe.batch_size,
        seed,
        recipe.augmentation,
        limit=recipe.epoch_images,
    )

    best: Epoch | None = None
    kept: dict[str, torch.Tensor] = {}
    for number in range(recipe.epochs):
        began, losses = time.perf_counter(), []
        batches.waited = 0.0
        network.train()
        for rows, pixels in batches:
            batch = torch.from_numpy(pixels).to(memory_format=torch.channels_last)
            loss = masked_bce(network(batch), labels[rows], weights)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        if not np.isfinite(losses).all():
            raise LearningError(
                f"the loss is not finite in epoch {number}: lower the learning rate ({recipe.learning_rate})"
            )
        aucs = auc(validation.labels, score(network, validation.pixels, validation.positions)).value
        took = time.perf_counter() - began
        epoch = Epoch(
            number, float(np.mean(losses)), np.where(outputs, aucs, np.nan), took, batches.waited / took
        )
        on_epoch(epoch)
        if best is None or epoch.mean_auc > best.mean_auc or np.isnan(best.mean_auc):
            best, kept = epoch, copy.deepcopy(network.state_dict())
    assert best is not None
    network.load_state_dict(kept)
    return Trained(network.eval(), best, outputs)
