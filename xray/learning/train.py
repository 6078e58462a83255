"""Training: read `train` from top to bottom.

One network, one seed; one device, or several processes that share each batch (`accelerate launch`). Images come
augmented from the pixel cache, the objective counts labelled images only, and the epoch that the selection rule names
is kept (protocol §7).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object
from numpy.typing import NDArray

from xray.errors import LearningError
from xray.learning.feed import Feed
from xray.learning.infer import outputs as score_outputs
from xray.learning.initial import start_from
from xray.learning.memory import keep_memory
from xray.learning.network import Network
from xray.learning.objective import alignment_penalty, masked_bce, task_weights
from xray.learning.progress import Epoch, Progress
from xray.learning.recipe import Recipe
from xray.pixels.batches import Batches
from xray.pixels.cache import Stored
from xray.pixels.pool import Pool
from xray.progress import followed
from xray.stats.roc import auc
from xray.tasks import TASKS

CHECKPOINT_SECONDS: Final = 30.0
DIVERGED: Final = 50.0
DIVERGED_STEPS: Final = 50
"""A mean loss of so many times that of guessing, over so many steps or a whole epoch, is no learning any more."""


@dataclass(frozen=True)
class Part:
    """Images and labels of one part of the data.

    pixels: every picture, uint8, indexed by position; positions: int64 (n_images,), which of them; labels: float32
    (n_images, n_tasks), 1, 0 or NaN, aligned with positions. owner: int64 (n_images,), the dataset that each image is
    of, as a position in the network's heads; None where all share one head.
    """

    pixels: Stored | Pool
    positions: NDArray[np.int64]
    labels: NDArray[np.float32]
    owner: NDArray[np.int64] | None = None

    def by_head(self, n_heads: int) -> NDArray[np.float32]:
        """Labels (n_images, n_heads, n_tasks): an image says nothing of the outputs of other datasets."""
        labels = np.full((len(self.labels), n_heads, self.labels.shape[1]), np.nan, dtype=np.float32)
        labels[np.arange(len(labels)), 0 if self.owner is None else self.owner] = self.labels
        return labels


@dataclass(frozen=True)
class Trained:
    """A network with the weights of the epoch that was kept, and the tasks that it was trained for, bool (n_tasks,)."""

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
    heads: Sequence[str] = (),
    bar: bool = False,
    findings: Sequence[str] = TASKS,
) -> Trained:
    """Train a network by the recipe; `on_epoch` is told after each epoch. The same seed gives the same weights on a CPU.

    An output is trained where the training part has both classes of it. checkpoint: a file that is written every so many
    seconds; where it is there already, training goes on from it and `on_epoch` is told of its epochs first. heads: datasets
    that get outputs of their own. findings: what the columns of labels, and so the outputs, are of. bar: show progress.
    Where several processes train together each calls this with the same arguments and gets the same network; they must see
    the same checkpoint file. Raises `LearningError` where no output can be trained, or when the loss is no longer finite or
    grows without bound.
    """
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    keep_memory()
    targets = training.by_head(max(1, len(heads)))
    trainable = (targets == 0).any(axis=0) & (targets == 1).any(axis=0)
    if not trainable.any():
        raise LearningError("nothing to learn: no task has both positives and negatives in the training part")

    torch.manual_seed(seed)
    network = Network(recipe.network, recipe.image_size, heads, findings)
    network.trained = trainable
    if recipe.weights:
        start_from(network, Path(recipe.weights))
    if accelerator.num_processes > 1:
        torch.manual_seed(seed + accelerator.process_index)  # what dropout draws
        if accelerator.device.type == "cuda":
            from timm.layers.norm_act import convert_sync_batchnorm  # which timm's own layers need

            convert_sync_batchnorm(network)
    network.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    optimiser = torch.optim.Adam(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, amsgrad=True
    )
    forward = accelerator.prepare_model(
        network
    )  # wrapped, where processes share the work: averages their gradients
    if recipe.compile:
        forward = torch.compile(forward)

    labels = (
        torch.from_numpy(np.where(trainable, targets, np.float32("nan"))).flatten(1).to(accelerator.device)
    )
    weights = task_weights((labels == 1).sum(dim=0)).to(accelerator.device)
    epoch_images = min(recipe.epoch_images or len(labels), len(labels))
    batches = Batches(
        training.pixels,
        training.positions,
        recipe.batch_size,
        seed,
        recipe.augmentation,
        limit=epoch_images,
        # batch normalisation can't take a batch of one
        drop_last=0 < epoch_images % recipe.batch_size < 2 * accelerator.num_processes,
        share=(accelerator.process_index, accelerator.num_processes),
        deliver=Feed(accelerator.device),
    )
    progress = Progress(network, optimiser, batches, recipe.selection)
    if checkpoint is not None and progress.restore(checkpoint):
        for epoch in progress.epochs:
            on_epoch(epoch)

    saved = time.monotonic()
    while len(progress.epochs) < recipe.epochs:
        began, before = time.perf_counter(), progress.seconds
        network.train()
        title = f"epoch {len(progress.epochs) + 1} of {recipe.epochs}"
        shown_here = bar and accelerator.is_main_process
        for rows, batch in followed(batches, title, batches.state.delivered, visible=shown_here):
            with torch.autocast(
                accelerator.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"
            ):
                logits = forward(batch)
            batch_labels = labels[rows]
            labelled = accelerator.reduce(
                (~batch_labels.isnan()).sum(dim=0)
            )  # in the whole batch, of which this is a share
            loss = masked_bce(logits.float(), batch_labels, weights, labelled)
            if recipe.penalty:
                loss = loss + recipe.penalty * _penalty(network) / accelerator.num_processes
            optimiser.zero_grad(set_to_none=True)
            (loss * accelerator.num_processes).backward()
            optimiser.step()
            progress.losses.append(accelerator.reduce(loss.detach()).item())
            progress.seconds = before + time.perf_counter() - began
            _check_loss(progress, weights, recipe)
            if checkpoint is not None and accelerator.is_main_process and time.monotonic() - saved >= every:
                progress.save(checkpoint)
                saved = time.monotonic()
        aucs = _validation_auc(network, validation, accelerator)
        took = before + time.perf_counter() - began
        epoch = Epoch(
            number=len(progress.epochs),
            loss=float(np.mean(progress.losses)),
            validation_auc=np.where(trainable.any(axis=0), aucs, np.nan),
            seconds=took,
            waiting=batches.waited / took,
        )
        progress.end_epoch(epoch)
        on_epoch(epoch)
    network.load_state_dict(progress.best_weights)
    return Trained(network.cpu().eval(), progress.epochs[progress.best], trainable.any(axis=0))


def _penalty(network: Network) -> torch.Tensor:
    """How far the heads are from one another (`alignment_penalty`), with its gradient."""
    layer = network.body.get_classifier()
    if not isinstance(layer, torch.nn.Linear):
        raise LearningError(f"{network.name} does not end in one linear layer, which the penalty needs")
    return alignment_penalty(layer.weight.unflatten(0, network.trained.shape))


def _check_loss(progress: Progress, weights: torch.Tensor, recipe: Recipe) -> None:
    """Stop at once where the loss is not finite, and early where it only grows; the last checkpoint is kept."""
    advice = f"in epoch {len(progress.epochs)}: lower the learning rate ({recipe.learning_rate})"
    if not np.isfinite(progress.losses[-1]):
        raise LearningError(f"the loss is not finite {advice}")
    guessing = float(weights.sum()) * float(np.log(2))
    steps = min(DIVERGED_STEPS, len(progress.batches))
    if len(progress.losses) >= steps and np.mean(progress.losses[-steps:]) > DIVERGED * guessing:
        raise LearningError(
            f"the loss is over {DIVERGED:g} times that of guessing, and stays there, {advice}"
        )


def _validation_auc(network: Network, validation: Part, accelerator: Accelerator) -> NDArray[np.float64]:
    """AUC per task (n_tasks,), each image by its own dataset's head; the processes score a share of the images each."""
    if (
        accelerator.num_processes > 1
    ):  # statistics of batch normalisation that each process has kept of its own share
        for buffer in network.buffers():
            broadcast(buffer)
    first, end = (
        len(validation.positions) * (accelerator.process_index + i) // accelerator.num_processes
        for i in (0, 1)
    )
    scores_of_share = score_outputs(network, validation.pixels, validation.positions[first:end])
    scores = (
        np.concatenate(gather_object([scores_of_share])) if accelerator.num_processes > 1 else scores_of_share
    )
    owner = np.zeros(len(scores), np.int64) if validation.owner is None else validation.owner
    labels = np.where(network.trained[owner], validation.labels, np.float32("nan"))
    return auc(labels, scores[np.arange(len(scores)), owner]).value
