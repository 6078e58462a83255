"""How a model is trained: everything but the data and the seed that decides its weights."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from xray.pixels.augment import Augmentation

REVISION = 1
"""Raised when the training code changes what weights the same recipe, data and seed give."""


@dataclass(frozen=True)
class Recipe:
    """The recipe of a model. Defaults are the paper's (protocol §7).

    epochs: at most so many passes; epoch_images: a pass draws at most so many images, None for all (pooled data then cost
    as much as one site's). selection: the rule that chooses the epoch kept.
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

    def key(self, trained_on: str, protocol: str, cohorts: Sequence[str], seed: int) -> str:
        """Content hash of a model: all that determines its weights (this recipe, the protocol, cohort hashes, the seed) and
        the name of its configuration, under which its results stand.
        """
        parts = {
            "revision": REVISION,
            "trained_on": trained_on,
            "recipe": asdict(self),
            "protocol": protocol,
            "cohorts": list(cohorts),
            "seed": seed,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def recipe_of(plain: Mapping[str, Any]) -> Recipe:
    """The recipe that `dataclasses.asdict` made plain."""
    return Recipe(**{**plain, "augmentation": Augmentation(**plain["augmentation"])})
