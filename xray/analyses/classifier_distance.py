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


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    return representation.classifier_distance(result.rows)


@analysis(
    "classifier_distance",
    "Do tasks whose classifiers differ between datasets generalise less well? (Fig 6)",
    ClassifierDistance,
    order=160,
    unit=cells.SINGLE,
    show=show,
    prepare=classifiers.load,
    state=classifiers.state,
)
def compute(study: StoredStudy, tests: Sequence[TestSet], heads: Sequence[Heads]) -> Iterator[dict[str, Any]]:
    """Rows of table `classifier_distance`: per configuration and task, each seed and (seed None) their mean."""
    across = cross_domain_auc(study, tests) if heads else {}
    for trained_on in dict.fromkeys(model.trained_on for model in heads):
        seeds = {model.seed: distances(model) for model in heads if model.trained_on == trained_on}
        relative = {seed: _relative(of_seed) for seed, of_seed in seeds.items()}
        for task in sorted(set().union(*(of_seed for of_seed in seeds.values()))):
            having = [seed for seed, of_seed in seeds.items() if task in of_seed]
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
    by_task = {}
    for task in dict.fromkeys(task for _, task in heads.keys):
        rows = [heads.weights[k] for k, (_, task_of_row) in enumerate(heads.keys) if task_of_row == task]
        if len(rows) > 1:
            lengths = [float(np.linalg.norm(a - b)) for a, b in combinations(rows, 2)]
            by_task[task] = (float(np.mean(lengths)), len(rows))
    return by_task


def cross_domain_auc(study: StoredStudy, tests: Sequence[TestSet]) -> dict[int, float]:
    """Task → mean AUC of the ensembles of one dataset each on the test cohorts of the others."""
    single = {name: datasets[0] for name, datasets in study.configurations.items() if len(datasets) == 1}
    aucs: dict[int, list[float]] = {}
    for test in tests:
        for name in test.trained_on:
            if name in single and single[name] != test.dataset:
                for task, value in enumerate(auc(test.cohort.labels, test.ensemble(name)).value):
                    if not np.isnan(value):
                        aucs.setdefault(task, []).append(float(value))
    return {task: float(np.mean(values)) for task, values in aucs.items()}


def _relative(by_task: Mapping[int, tuple[float, int]]) -> dict[int, float]:
    """Each task's distance over the mean of all."""
    mean = float(np.mean([distance for distance, _ in by_task.values()])) if by_task else np.nan
    return {task: distance / mean if mean > 0 else np.nan for task, (distance, _) in by_task.items()}
