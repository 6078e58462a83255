"""Do the classifiers of a task differ between datasets, and do such tasks generalise less well? (paper, Fig 6)

Per task the mean distance between the vectors of its datasets, relative to the other tasks of the same model; beside it the
mean AUC of models of one dataset on the other datasets.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from db.results import ClassifierDistance
from xray.analyses import cells, classifiers
from xray.analyses.analysis import Stored, analysis
from xray.analyses.classifiers import Heads
from xray.analyses.rows import number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts import representation
from xray.report.parts.part import Part
from xray.stats.roc import auc

METHOD = "mean pairwise L2 distance of a task's vectors over datasets, over the mean of this over tasks"


def show(stored: Stored) -> Part:
    """What is said of the rows, and the figure."""
    return representation.classifier_distance(stored.rows)


@analysis(
    "classifier_distance",
    "Do tasks whose classifiers differ between datasets generalise less well? (Fig 6)",
    ClassifierDistance,
    place=160,
    unit=cells.SINGLE,
    show=show,
    prepare=classifiers.load,
    state=classifiers.state,
)
def compute(study: StoredStudy, tests: Sequence[TestSet], heads: Sequence[Heads]) -> Iterator[dict[str, Any]]:
    """Rows of table `classifier_distance`: per configuration and task, each seed and (seed None) their mean."""
    across = cross_domain_auc(study, tests) if heads else {}
    for trained_on in dict.fromkeys(each.trained_on for each in heads):
        seeds = {each.seed: distances(each) for each in heads if each.trained_on == trained_on}
        relative = {seed: _relative(found) for seed, found in seeds.items()}
        for task in sorted(set().union(*(found for found in seeds.values()))):
            having = [seed for seed, found in seeds.items() if task in found]
            for seed in (None, *having):
                of = having if seed is None else [seed]
                yield {
                    "trained_on": trained_on,
                    "task_id": task,
                    "seed": seed,
                    "n_datasets": min(seeds[s][task][1] for s in of),
                    "distance": float(np.mean([seeds[s][task][0] for s in of])),
                    "relative": number(float(np.mean([relative[s][task] for s in of]))),
                    "cross_domain_auc": number(across.get(task, np.nan)),
                    "method": METHOD,
                }


def distances(heads: Heads) -> dict[int, tuple[float, int]]:
    """Task → (mean L2 distance between the vectors of its datasets, number of datasets); tasks of two datasets at least."""
    found = {}
    for task in dict.fromkeys(task for _, task in heads.keys):
        rows = [heads.weights[k] for k, (_, own) in enumerate(heads.keys) if own == task]
        if len(rows) > 1:
            apart = [float(np.linalg.norm(a - b)) for a, b in combinations(rows, 2)]
            found[task] = (float(np.mean(apart)), len(rows))
    return found


def cross_domain_auc(study: StoredStudy, tests: Sequence[TestSet]) -> dict[int, float]:
    """Task → mean AUC of the ensembles of one dataset each on the test cohorts of the others."""
    single = {name: datasets[0] for name, datasets in study.configurations.items() if len(datasets) == 1}
    found: dict[int, list[float]] = {}
    for test in tests:
        for name in test.trained_on:
            if name in single and single[name] != test.dataset:
                for task, value in enumerate(auc(test.cohort.labels, test.ensemble(name)).value):
                    if not np.isnan(value):
                        found.setdefault(task, []).append(float(value))
    return {task: float(np.mean(values)) for task, values in found.items()}


def _relative(found: Mapping[int, tuple[float, int]]) -> dict[int, float]:
    """Each task's distance over the mean of all."""
    mean = float(np.mean([distance for distance, _ in found.values()])) if found else np.nan
    return {task: distance / mean if mean > 0 else np.nan for task, (distance, _) in found.items()}
