"""Bootstrap replicates of every ensemble's AUC on a test cohort, over patients: the same draws for all tasks and models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray.analyses.parallel import side_by_side
from xray.analyses.stored import TestSet
from xray.stats.bootstrap import BootstrapAuc, Draws, bootstrap_auc

REPLICATES: Final = 1000
SEED: Final = 0


@dataclass(frozen=True)
class Replicates:
    """One task of one test cohort: the configurations that score it, and their bootstrapped AUCs side by side."""

    names: Sequence[str]
    result: BootstrapAuc

    def value(self, name: str) -> float:
        """AUC of the images as they are."""
        return float(self.result.estimates.value[self.names.index(name)])

    def drawn(self, name: str) -> NDArray[np.float64]:
        """AUC of each replicate, (REPLICATES,), NaN where it drew one class only."""
        return self.result.replicates[:, self.names.index(name)]


def replicates(test: TestSet) -> dict[int, Replicates]:
    """Task → replicates, for the tasks that the cohort is labelled for and some configuration scores. Kept with `test`."""
    kept: dict[int, Replicates] = test.kept
    if not kept:
        tasks = sorted(test.labelled_tasks())
        scored = [[n for n in test.trained_on if task in test.trained_tasks(n)] for task in tasks]
        todo = [(task, names) for task, names in zip(tasks, scored, strict=True) if names]
        draws = Draws(test.cohort.shown.ranks, REPLICATES, SEED, keep=True)
        side_by_side(draws.block, ((number,) for number in range(draws.n_blocks)))
        found = side_by_side(lambda task, names: _resample(test, task, names, draws), todo)
        kept.update((task, result) for (task, _), result in zip(todo, found, strict=True))
    return kept


def has_repeated_patients(test: TestSet) -> bool:
    """Whether some patient of the cohort has several images."""
    return bool(np.unique(test.cohort.patients).size < test.cohort.patients.size)


def _resample(test: TestSet, task: int, names: Sequence[str], draws: Draws) -> Replicates:
    scores = np.stack([test.ensemble(name)[:, task] for name in names])
    labels, patients = test.cohort.labels[:, task], test.cohort.shown.ranks
    return Replicates(names, bootstrap_auc(labels, scores, patients, draws=draws))
