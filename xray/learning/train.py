"""Training: read `train` from top to bottom.

One network, one seed, one device. Images come augmented from the pixel cache, the objective counts labelled images only, and
the epoch with the best mean validation AUC is kept (protocol §7).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from xray.errors import LearningError
from xray.learning.infer import score
from xray.learning.network import Network
from xray.learning.objective import masked_bce, task_weights
from xray.learning.progress import Epoch, Progress
from xray.learning.recipe import Recipe
from xray.pixels.batches import Batches
from xray.pixels.grey import Grey
from xray.pixels.pool import Pool
from xray.stats.roc import auc

CHECKPOINT_SECONDS: Final = 30.0


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
    checkpoint: Path | None = None,
    every: float = CHECKPOINT_SECONDS,
) -> Trained:
    """Train a network by the recipe; `on_epoch` is told after each epoch. The same seed gives the same weights on a CPU.

    An output is trained where the training part has both classes of it. checkpoint: a file that is written every so many
    seconds; where it is there already, training goes on from it and `on_epoch` is told of its epochs first.
    Raises `LearningError` where no output can be trained, or when the loss is no longer finite.
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
    shown = min(recipe.epoch_images or len(labels), len(labels))
    batches = Batches(
        training.pixels,
        training.positions,
        recipe.batch_size,
        seed,
        recipe.augmentation,
        limit=shown,
        drop_last=shown % recipe.batch_size == 1,  # batch normalisation can't take a batch of one
    )
    progress = Progress(network, optimiser, batches)
    if checkpoint is not None and progress.restore(checkpoint):
        for epoch in progress.epochs:
            on_epoch(epoch)

    saved = time.monotonic()
    while len(progress.epochs) < recipe.epochs:
        began, before = time.perf_counter(), progress.seconds
        network.train()
        for rows, pixels in batches:
            batch = torch.from_numpy(pixels).to(memory_format=torch.channels_last)
            loss = masked_bce(network(batch), labels[rows], weights)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            progress.losses.append(loss.item())
            progress.seconds = before + time.perf_counter() - began
            if not np.isfinite(progress.losses[-1]):
                raise LearningError(
                    f"the loss is not finite in epoch {len(progress.epochs)}: lower the learning rate "
                    f"({recipe.learning_rate})"
                )
            if checkpoint is not None and time.monotonic() - saved >= every:
                progress.save(checkpoint)
                saved = time.monotonic()
        aucs = auc(validation.labels, score(network, validation.pixels, validation.positions)).value
        took = before + time.perf_counter() - began
        epoch = Epoch(
            number=len(progress.epochs),
            loss=float(np.mean(progress.losses)),
            validation_auc=np.where(outputs, aucs, np.nan),
            seconds=took,
            waiting=batches.waited / took,
        )
        progress.end_epoch(epoch)
        on_epoch(epoch)
    network.load_state_dict(progress.best_weights)
    return Trained(network.eval(), progress.epochs[progress.best], outputs)
