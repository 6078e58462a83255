"""The objective of the study: binary cross-entropy over labelled images only, tasks weighted by frequency (paper §3)."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def task_weights(positives: Tensor) -> Tensor:
    """Weight of each task, (n_tasks,), from its count of positives in the training part, (n_tasks,).

    w_t = α_t / max α with α_t = max_i c_i − c_t + mean c: the rarest task weighs 1 (paper §3; protocol §7). A task that
    is absent from the data has c = 0 and so lowers the mean. All zero counts give weights of 1.
    """
    counts = positives.to(torch.float64)
    alpha = counts.max() - counts + counts.mean()
    return (alpha / alpha.max() if alpha.max() > 0 else torch.ones_like(alpha)).to(torch.float32)


def alignment_penalty(weights: Tensor) -> Tensor:
    """Σ_t mean over pairs of datasets a, b of ‖W_{a,t} − W_{b,t}‖₂, of the last layer's weights without biases; a scalar.

    weights: (n_heads, n_tasks, n_features). Every pair counts, also where a dataset has no label of the task, as in the
    released code (paper §5; protocol §7). One dataset alone gives 0.
    """
    first, second = torch.triu_indices(len(weights), len(weights), 1)
    if not len(first):
        return weights.new_zeros(())
    distances = torch.linalg.vector_norm(weights[first] - weights[second], dim=-1)
    return distances.mean(dim=0).sum()


def masked_bce(
    logits: Tensor, labels: Tensor, weights: Tensor, labelled_in_batch: Tensor | None = None
) -> Tensor:
    """Σ_t w_t · mean over the batch's labelled images of BCE(σ(logit_t), label_t); a scalar.

    logits, labels: (n_images, n_tasks), a label is 1, 0 or NaN for missing; weights: (n_tasks,). A task without a label in
    the batch adds nothing; a batch without any label gives 0 with zero gradient. labelled_in_batch: (n_tasks,), labelled
    images of the whole batch where these are a share of it: the shares' losses then add up to the batch's.
    """
    labelled = ~labels.isnan()
    losses = binary_cross_entropy_with_logits(logits, labels.nan_to_num(0.0), reduction="none")
    counts = labelled.sum(dim=0) if labelled_in_batch is None else labelled_in_batch
    per_task = (losses * labelled).sum(dim=0) / counts.clamp(min=1)
    return (weights * per_task).sum()
