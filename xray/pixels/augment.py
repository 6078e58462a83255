"""Random rotation, translation, scaling and change of intensity: what is drawn, and from which ranges.

A study file names the ranges, so this is light; the pictures are warped by `xray.pixels.warp`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from xray.pixels.grey import Grey


@dataclass(frozen=True)
class Parameters:
    """What was drawn for n images.

    angle: float64 (n,), degrees, clockwise. shift: float64 (n, 2), shares of width and height. zoom: float64
    (n,). gain, offset: float64 (n,), change of intensity: value · gain + offset · 1024, cut to [−1024, 1024].
    """

    angle: NDArray[np.float64]
    shift: NDArray[np.float64]
    zoom: NDArray[np.float64]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]

    def __len__(self) -> int:
        """How many images they are for."""
        return len(self.angle)

    def part(self, first: int, end: int) -> "Parameters":
        """Those of the images from `first` up to `end`."""
        return Parameters(*(values[first:end] for values in vars(self).values()))


@dataclass(frozen=True)
class Augmentation:
    """Ranges to draw from (protocol §7; the defaults are the paper's text).

    rotation: degrees, uniform in ±rotation. translation: share of the side, uniform in ±translation, then
    rounded to whole pixels. scale: uniform in 1 ± scale. intensity: gain uniform in 1 ± intensity and offset
    in ±intensity of the half range. The filling is mid-grey: 0.
    """

    rotation: float = 45.0
    translation: float = 0.15
    scale: float = 0.10
    intensity: float = 0.0

    def __post_init__(self) -> None:
        limits = {"rotation": 180.0, "translation": 1.0, "scale": 0.5, "intensity": 1.0}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise ValueError(f"{name} is {value}, expected 0 to {limit}")

    def draw(self, rng: Generator, n: int) -> Parameters:
        """Parameters of `n` images, independent of one another."""
        return Parameters(
            angle=rng.uniform(-self.rotation, self.rotation, n),
            shift=rng.uniform(-self.translation, self.translation, (n, 2)),
            zoom=rng.uniform(1 - self.scale, 1 + self.scale, n),
            gain=rng.uniform(1 - self.intensity, 1 + self.intensity, n),
            offset=rng.uniform(-self.intensity, self.intensity, n),
        )

    def apply(self, batch: Grey, parameters: Parameters) -> NDArray[np.float32]:
        """A stored batch (n, size, size) → the augmented one, float32 (n, 1, size, size) in [−1024, 1024]."""
        from xray.pixels.warp import gather

        n, size = len(batch), batch.shape[-1]
        out = np.empty((n, 1, size, size), np.float32)
        gather(batch, np.arange(n), parameters, out)
        return out
