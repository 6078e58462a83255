"""Pictures of one site changed on purpose to look like those of another: greys, sharpness, noise, borders, or all of it.

A change is made of steps, each the same function of every picture of the site, so that what differs between patients stays.
What the pictures lack is not made up: they are blurred and made noisier, never sharper or cleaner, and no edge is cut off.
Pictures: uint8 (n, size, size), as a network sees them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from xray.pixels import looks
from xray.pixels.grey import Grey
from xray.pixels.looks import LEVELS, Pictures

VERSION: Final = 1
"""Raised whenever the same pictures would be changed otherwise: scores of earlier ones are stale then."""
KINDS: Final = ("histogram", "resolution", "noise", "borders", "all")
ORDER: Final = ("resolution", "histogram", "noise", "borders")
"""As a picture comes about: optics, grey scale, noise, shutters."""
LEAST_GREY: Final = 0.5
"""Grey levels: a mean shift of greys, or noise to be added, below half a step of 8 bits is none."""
LEAST_BLUR: Final = 0.2
"""Pixels: a narrower Gaussian takes less than a third of the finest power, within what other patients change."""
LEAST_NOISE: Final = 1.1
"""B's noise in A's, from which on any is added: other patients alone change what is measured by a twentieth."""
LEAST_BORDERED: Final = 0.02
"""So much larger a share of B's pictures must have a border before any of A's is given one."""

Keys = NDArray[np.uint64]


class Indexed(Protocol):
    """Pictures that are read by rows: a cache, an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, size, size)."""

    def __getitem__(self, rows: NDArray[np.integer[Any]], /) -> Grey:
        """A copy of the pictures at rows (n,)."""


class Step(Protocol):
    """One thing that is changed, in every picture alike."""

    def apply(self, pictures: Pictures, keys: Keys, seed: int) -> Pictures:
        """The changed pictures. keys: (n,), what each picture is known by: chance depends on it and the seed alone."""

    def about(self) -> dict[str, float]:
        """What was changed by how much, by name."""


@dataclass(frozen=True)
class Greys:
    """table: uint8 (256,), grey → grey; borders stay."""

    table: NDArray[np.uint8]

    def apply(self, pictures: Pictures, keys: Keys, seed: int) -> Pictures:
        """Each grey by the table."""
        return _inside(pictures, self.table[pictures])

    def about(self) -> dict[str, float]:
        """The mean shift of a grey, in levels."""
        return {"grey_shift": float(np.abs(self.table - np.arange(256.0)).mean())}


@dataclass(frozen=True)
class Blur:
    """sigma: standard deviation of a Gaussian, in pixels."""

    sigma: float

    def apply(self, pictures: Pictures, keys: Keys, seed: int) -> Pictures:
        """Blurred inside borders, which stay."""
        kernel = _diffusion(pictures.shape[1], self.sigma**2)
        return _inside(pictures, _rounded(kernel @ pictures.astype(np.float32) @ kernel.T))

    def about(self) -> dict[str, float]:
        """Its width in pixels."""
        return {"blur_pixels": self.sigma}


@dataclass(frozen=True)
class Noise:
    """sd: of white noise that is added, in grey levels."""

    sd: float

    def apply(self, pictures: Pictures, keys: Keys, seed: int) -> Pictures:
        """Noise of each picture's own, inside borders."""
        noise = np.empty(pictures.shape, np.float32)
        for grain, key in zip(noise, keys.tolist(), strict=True):
            np.random.default_rng([seed, 1, key]).standard_normal(out=grain, dtype=np.float32)
        return _inside(pictures, _rounded(pictures + np.float32(self.sd) * noise))

    def about(self) -> dict[str, float]:
        """Its standard deviation in grey levels."""
        return {"noise_added": self.sd}


@dataclass(frozen=True)
class Edges:
    """Borders that some pictures get. share: of pictures without any that get those of one of B's, widths (n, 4), values.

    before, after: for the others, sorted widths (k, 4) at A and at B: a picture gets, at each side, the width that stands at
    B where its own stands at A, if that is wider.
    """

    share: float
    widths: NDArray[np.int64]
    values: NDArray[np.uint8]
    before: NDArray[np.int64]
    after: NDArray[np.int64]

    def apply(self, pictures: Pictures, keys: Keys, seed: int) -> Pictures:
        """Borders painted over the pictures' edges."""
        own = looks.borders(pictures)
        widths, values = own.widths.copy(), own.values.copy()
        for row, key in enumerate(keys.tolist()):
            draw = np.random.default_rng([seed, 2, key])
            if widths[row].any():
                widths[row] = np.maximum(widths[row], self._wider(widths[row], draw.random()))
            elif draw.random() < self.share:
                index = int(draw.integers(len(self.widths)))
                widths[row], values[row] = self.widths[index], self.values[index]
        inside = looks.Borders(widths, values).inside(pictures.shape[1])
        return np.where(inside, pictures, values[:, None, None])

    def _wider(self, widths: NDArray[np.int64], within: float) -> NDArray[np.int64]:
        """The widths (4,) at B that rank as these do at A; `within` [0, 1): where among equal ones."""
        if not len(self.before) or not len(self.after):
            return widths
        ranks = [
            np.searchsorted(side, width, "left") * (1 - within)
            + np.searchsorted(side, width, "right") * within
            for side, width in zip(self.before.T, widths, strict=True)
        ]
        places = np.minimum(np.array(ranks) / len(self.before) * len(self.after), len(self.after) - 1)
        return self.after[places.astype(np.int64), np.arange(4)]

    def about(self) -> dict[str, float]:
        """The share of pictures without a border that get one, and the others' mean width in pixels, before and after."""
        return {
            "pictures_given_borders": self.share,
            "border_before": float(self.before.mean()) if len(self.before) else 0.0,
            "border_after": float(self.after.mean()) if len(self.after) else 0.0,
        }


@dataclass(frozen=True)
class Change:
    """What is done to pictures of A, in order. No step: B's pictures are not worse in this way, and nothing is done."""

    kind: str
    steps: tuple[Step, ...]

    def apply(self, pictures: Pictures, keys: Keys, seed: int) -> Pictures:
        """The changed pictures, the same again for the same keys and seed. keys: (n,), of the pictures."""
        for step in self.steps:
            pictures = step.apply(pictures, keys, seed)
        return pictures

    def about(self) -> dict[str, float]:
        """What was changed by how much, by name; empty where nothing was."""
        return {name: value for step in self.steps for name, value in step.about().items()}


@dataclass(frozen=True)
class Changed:
    """Pictures that are changed as they are read. keys: (n_stored,), what each is known by."""

    pictures: Indexed
    keys: Keys
    change: Change
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_stored, size, size)."""
        return self.pictures.shape

    def __getitem__(self, rows: NDArray[np.integer[Any]], /) -> Grey:
        """The changed pictures at rows (n,)."""
        return self.change.apply(_eight_bits(self.pictures[rows]), self.keys[rows], self.seed)


def change(kind: str, a: Grey, b: Grey) -> Change:
    """What makes pictures like A's look like B's. a, b: samples (n, size, size) of one size.

    All of it: step by step, each measured on what those before it have made. Raises ValueError for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}, expected one of {', '.join(KINDS)}")
    now, target = _eight_bits(a), _eight_bits(b)
    steps: list[Step] = []
    for name in ORDER if kind == "all" else (kind,):
        step = _MADE[name](now, target)
        if step is not None:
            steps.append(step)
            now = step.apply(now, np.arange(len(now), dtype=np.uint64), 0)
    return Change(kind, tuple(steps))


def keys_of(hashes: Sequence[str]) -> Keys:
    """What pictures are known by, (n,), from their content hashes (hex): the same in every home."""
    return np.array([int(digest[:15], 16) for digest in hashes], dtype=np.uint64)


def _with_borders_of(pictures: Pictures, others: Pictures) -> Pictures:
    """Pictures with as much border as others have: what is measured inside is measured of the same parts of the chest."""
    edges = _edges(pictures, others)
    return pictures if edges is None else edges.apply(pictures, np.arange(len(pictures), dtype=np.uint64), 0)


def _greys(a: Pictures, b: Pictures) -> Greys | None:
    """Greys of A mapped from its mean quantile function to B's; beyond its ends by the same shift."""
    a, b = _with_borders_of(a, b), _with_borders_of(b, a)
    of_a, of_b = looks.quantiles(a), looks.quantiles(b)
    rising = of_a + 1e-6 * np.arange(LEVELS)
    levels = np.arange(256.0)
    inner = np.interp(levels, rising, of_b)
    low, high = levels < rising[0], levels > rising[-1]
    inner[low] = of_b[0] + levels[low] - rising[0]
    inner[high] = of_b[-1] + levels[high] - rising[-1]
    greys = Greys(_rounded(inner))
    difference = np.abs(of_b - of_a).mean()
    return greys if difference >= LEAST_GREY else None


def _blur(a: Pictures, b: Pictures) -> Blur | None:
    sigma = looks.blur_between(a, b)
    return Blur(sigma) if sigma >= LEAST_BLUR else None


def _noise(a: Pictures, b: Pictures) -> Noise | None:
    own, other = looks.noise(_with_borders_of(a, b)), looks.noise(_with_borders_of(b, a))
    lacking = other**2 - own**2
    return Noise(float(np.sqrt(lacking))) if lacking >= LEAST_GREY**2 and other > LEAST_NOISE * own else None


def _edges(a: Pictures, b: Pictures) -> Edges | None:
    own, other = looks.borders(a), looks.borders(b)
    has, should = own.widths.any(axis=1), other.widths.any(axis=1)
    more = float(should.mean() - has.mean())
    share = more / (1 - float(has.mean())) if more >= LEAST_BORDERED else 0.0
    before, after = np.sort(own.widths[has], axis=0), np.sort(other.widths[should], axis=0)
    wider = len(before) and len(after) and float(after.mean() - before.mean()) >= LEAST_BORDERED * a.shape[1]
    if not wider:
        before, after = before[:0], after[:0]
    if not share and not wider:
        return None
    return Edges(share, other.widths[should], other.values[should], before, after)


_MADE: Final = {"histogram": _greys, "resolution": _blur, "noise": _noise, "borders": _edges}


def _diffusion(size: int, variance: float) -> NDArray[np.float32]:
    """What blurs along one axis, (size, size): the Gaussian of whole pixels (Lindeberg 1990).

    It has this very variance even where it is narrower than a pixel. The exponential of half the variance times the second
    difference, ends reflected.
    """
    second = np.diag(np.full(size - 1, 1.0), 1) + np.diag(np.full(size - 1, 1.0), -1)
    values, vectors = np.linalg.eigh(second - np.diag(second.sum(axis=1)))
    kernel: NDArray[np.float32] = ((vectors * np.exp(variance / 2 * values)) @ vectors.T).astype(np.float32)
    return kernel


def _inside(before: Pictures, after: Pictures) -> Pictures:
    """The changed pictures, with the borders that they had."""
    inside = looks.borders(before).inside(before.shape[1])
    return after if inside.all() else np.where(inside, after, before)


def _rounded(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _eight_bits(pictures: Grey) -> Pictures:
    return (pictures if pictures.dtype == np.uint8 else pictures >> 8).astype(np.uint8, copy=False)
