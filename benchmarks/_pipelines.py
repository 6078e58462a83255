"""How well another site's pipeline is imitated where pictures of A are put through it, in simulated pairs of sites.

In half of the worlds it holds all that differs between the acquisitions; in the others .7 to 1 of it, and the rest is of
hardware that no processing repeats: features lie that far on the way from A's to B's. Every pipeline leaves a trace of
its own, noise of up to TRACE of a feature's spread; so scores differ a little where acquisitions do not.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST: Final = 0.7
TRACE: Final = 0.15

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pipeline:
    """captured: share of the way from A's pictures to B's; trace: its own noise, as a share of a feature's spread."""

    captured: float
    trace: float

    def __call__(self, own: Floats, other: Floats, seed: int) -> Floats:
        """Features through the pipeline, from those by either acquisition, (n_images, n_features)."""
        noise = np.random.default_rng([27, seed]).standard_normal(own.shape)
        return (1 - self.captured) * own + self.captured * other + self.trace * own.std(axis=0) * noise


def drawn_pipeline(seed: int, least: float = LEAST, most: float = 1.0) -> Pipeline:
    """That of a world."""
    rng = np.random.default_rng([24, seed])
    exact, captured, trace = bool(rng.random() < 0.5), rng.uniform(least, most), rng.uniform(0, TRACE)
    return Pipeline(1.0 if exact and most == 1 else float(captured), float(trace))
