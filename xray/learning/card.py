"""A model's card: what it is, what it was trained on, how good it was on its validation part, and what it is not for."""

from collections.abc import Sequence

import numpy as np

from xray.data.protocol import Protocol
from xray.learning.progress import Epoch
from xray.learning.request import ModelRequest, PartCohorts
from xray.learning.train import Trained

LIMITS = """\
* For research. It was not made, tested or approved for the care of patients.
* Its outputs are logits. Their sigmoid is a number between 0 and 1, not a calibrated probability.
* The validation AUC chose the epoch, on images of the same places: it flatters. What the model does elsewhere,
  `xray sql` tells: `select * from auc_results where trained_on = '{configuration}'`.
* Labels are those of the datasets' labellers, often programs that read reports. Where they are wrong, the model learned it.
* Input is the protocol's: other crops, ranges or views are other pictures.
* A task that is not in the table was never trained: its output means nothing.
"""


def model_card(
    request: ModelRequest,
    protocol: Protocol,
    trained: Trained,
    training: PartCohorts,
    validation: PartCohorts,
    epochs: Sequence[Epoch],
) -> str:
    """The card, in Markdown. epochs: every epoch of the training, of which one was kept."""
    recipe, network = request.recipe, trained.network
    conditions = ", ".join(map(str, request.where))
    lines = [
        f"# {request.study}.{request.trained_on}, seed {request.seed}",
        "",
        f"{network.name} for chest X-rays of {network.image_size} × {network.image_size} pixels, grey, in [-1024, 1024]; "
        + (f"a head per dataset, penalty {recipe.penalty:g}; " if network.heads else "one head; ")
        + f"from {'given' if recipe.weights else 'random'} weights.",
        f"Protocol {protocol.name} {protocol.version}; {len(epochs)} epochs, of which number {trained.best.number + 1} was "
        f"kept ({recipe.selection}).",
        "",
        "## Trained on",
        "",
        "| dataset | site | part | images | content hash |",
        "|---|---|---|---|---|",
        *(
            f"| {dataset.name} | {dataset.site} | {part} | {len(cohort.images)} | {digest[:12]} |"
            for part, data in (("train", training), ("validation", validation))
            for dataset, cohort, digest in zip(data.datasets, data.cohorts, data.hashes, strict=True)
        ),
        "",
        *([f"Only images with {conditions}.", ""] if conditions else []),
        *(
            []
            if validation.cohorts
            else ["A part of the training images, drawn by the seed, was used for validation.", ""]
        ),
        "## Tasks",
        "",
        "| task | positive | negative | validation AUC |",
        "|---|---|---|---|",
        *_tasks(trained, training),
        "",
        f"Mean validation AUC: {_number(trained.best.mean_auc)}.",
        "",
        "## Limits",
        "",
        LIMITS.format(configuration=request.trained_on),
    ]
    return "\n".join(lines)


def _tasks(trained: Trained, training: PartCohorts) -> list[str]:
    labels = np.concatenate([cohort.labels for cohort in training.cohorts])
    return [
        f"| {task} | {int((labels[:, i] == 1).sum())} | {int((labels[:, i] == 0).sum())} | "
        f"{_number(trained.best.validation_auc[i])} |"
        for i, task in enumerate(trained.network.findings)
        if trained.outputs[i]
    ]


def _number(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.3f}"
