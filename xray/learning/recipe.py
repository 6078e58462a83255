"""How a model is trained: everything but the data and the seed that decides its weights."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from xray.errors import LearningError
from xray.pixels.augment import Augmentation

REVISION = 1
"""Raised when the training code changes what weights the same recipe, data and seed give."""


@dataclass(frozen=True)
class Recipe:
    """The recipe of a model. Defaults are the paper's (protocol §7).

    epochs: at most so many passes; epoch_images: a pass draws at most so many images, None for all (pooled data then cost
    as much as one site's). selection: the rule that chooses the epoch kept (`xray.learning.selection`).
    heads: "shared", one output per task, or "per dataset", one per (dataset, task). penalty: λ of the distance between the
    datasets' rows of the last layer, with heads per dataset. weights: a safetensors file to start from, None for random
    weights. precision: "float32", or "bfloat16" where the device is faster at it. compile: by torch.compile.
    """

    network: str = "densenet121"
    image_size: int = 224
    epochs: int = 160
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    epoch_images: int | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    selection: str = "best mean validation AUC"
    heads: str = "shared"
    penalty: float = 0.0
    weights: str | None = None
    precision: str = "float32"
    compile: bool = False

    def key(
        self,
        trained_on: str,
        protocol: str,
        cohorts: Sequence[str],
        seed: int,
        selection: Mapping[str, Any] | None = None,
    ) -> str:
        """Content hash of a model: all that determines its weights (this recipe, the protocol, cohort hashes, the seed) and
        the name of its configuration, under which its results stand. chosen: what of the cohorts is used, None for all.
        Weights to start from count by their content. Raises `LearningError` where their file can't be read.
        """
        parts = {
            "revision": REVISION,
            "trained_on": trained_on,
            "recipe": {**asdict(self), "weights": _digest(self.weights)},
            "protocol": protocol,
            "cohorts": list(cohorts),
            "seed": seed,
            "chosen": selection,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _digest(file: str | None) -> str | None:
    if file is None:
        return None
    try:
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise LearningError(f"{file}: weights to start from can't be read: {error.strerror}") from None


def recipe_of(plain: Mapping[str, Any]) -> Recipe:
    """The recipe that `dataclasses.asdict` made plain."""
    return Recipe(**{**plain, "augmentation": Augmentation(**plain["augmentation"])})
