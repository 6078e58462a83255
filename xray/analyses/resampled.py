"""Bootstrap replicates of ensembles' AUCs on a test cohort, over patients: the same draws for all tasks and models.

What is drawn of a model depends on no other model, but where two are compared: then on the images that both scored.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray.analyses.parallel import side_by_side
from xray.analyses.stored import TestSet
from xray.stats.bootstrap import BootstrapAuc, Draws, bootstrap_auc, joined, separate
from xray.stats.estimates import codes_of

REPLICATES: Final = 1000
SEED: Final = 0
Group = tuple[int, tuple[str, ...]]
"""A task, and configurations that are compared on it."""
CacheKey = tuple[int, str, bytes]
"""A task, a configuration, and the images that are used, as bits."""


@dataclass(frozen=True)
class Replicates:
    """One task of one test cohort: configurations, and their bootstrapped AUCs on the images that all of them scored."""

    names: Sequence[str]
    result: BootstrapAuc


def replicates(test: TestSet, groups: Iterable[Group]) -> dict[Group, Replicates]:
    """Replicates of these groups, for tasks that all their configurations were trained on. Cached in `test`."""
    images = {group: _images(test, *group) for group in groups}
    cache = test.cache
    missing: dict[tuple[int, bytes], dict[str, None]] = {}
    for (task, names), bits in images.items():
        for name in names:
            if (task, name, bits) not in cache:
                missing.setdefault((task, bits), {})[name] = None
    if missing:
        draws = _draws(test)
        work = [(test, task, tuple(names), bits, draws) for (task, bits), names in missing.items()]
        for several in side_by_side(_resample, work):
            cache.update(several)
    return {
        (task, names): Replicates(names, joined([cache[task, name, bits] for name in names]))
        for (task, names), bits in images.items()
    }


def has_repeated_patients(test: TestSet) -> bool:
    """Whether some patient of the cohort has several images. Cached in `test`."""
    if "repeated" not in test.cache:
        test.cache["repeated"] = bool((np.bincount(codes_of(test.cohort.patients)) > 1).any())
    return bool(test.cache["repeated"])


def repeated_patients(test: TestSet) -> NDArray[np.int64] | None:
    """Codes (n_images,) of the patients of the cohort where some have several images, else None: each image counts."""
    return test.cohort.patients if has_repeated_patients(test) else None


def _draws(test: TestSet) -> Draws:
    if "draws" not in test.cache:
        draws = Draws(test.cohort.identities.ranks, REPLICATES, SEED, keep=True)
        side_by_side(draws.block, ((number,) for number in range(draws.n_blocks)))
        test.cache["draws"] = draws
    cached: Draws = test.cache["draws"]
    return cached


def _images(test: TestSet, task: int, names: Sequence[str]) -> bytes:
    """The labelled images that all of these scored, as bits."""
    labelled = ~np.isnan(test.cohort.labels[:, task])
    for name in names:
        labelled &= ~np.isnan(test.ensemble(name)[:, task])
    return np.packbits(labelled).tobytes()


def _resample(
    test: TestSet, task: int, names: Sequence[str], images: bytes, draws: Draws
) -> dict[CacheKey, BootstrapAuc]:
    labels = test.cohort.labels[:, task]
    mask = np.unpackbits(np.frombuffer(images, np.uint8), count=len(labels)).astype(bool)
    scores = np.stack([test.ensemble(name)[:, task] for name in names])
    several = bootstrap_auc(np.where(mask, labels, np.nan), scores, test.cohort.identities.ranks, draws=draws)
    return {(task, name, images): single for name, single in zip(names, separate(several), strict=True)}
