"""Where do a model's classifiers lie, by task and dataset? The two main axes of their vectors (paper, Fig 5).

Of models with a head per dataset. Vectors of one task lie together where its label means the same everywhere; a penalty
on their distances draws them together in any case.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.results import ClassifierMap
from xray.analyses import cells, classifiers
from xray.analyses.analysis import Stored, analysis
from xray.analyses.classifiers import Heads
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts import representation
from xray.report.parts.part import Part

METHOD = "principal components of the classifier vectors of one model, centred"


def show(stored: Stored) -> Part:
    """What is said of the rows, and the figure."""
    return representation.classifier_map(stored.rows)


@analysis(
    "classifier_map",
    "Where do the classifiers of each dataset and task lie? PCA of their vectors (Fig 5)",
    ClassifierMap,
    place=150,
    unit=cells.NOTHING,
    show=show,
    prepare=classifiers.load,
    state=classifiers.state,
)
def compute(study: StoredStudy, tests: Sequence[TestSet], heads: Sequence[Heads]) -> Iterator[dict[str, Any]]:
    """Rows of table `classifier_map`: per model, dataset and task."""
    for each in heads:
        places, explained = components(each.weights)
        for (dataset, task), place in zip(each.keys, places, strict=True):
            yield {
                "trained_on": each.trained_on,
                "seed": each.seed,
                "dataset_id": dataset,
                "task_id": task,
                "x": float(place[0]),
                "y": float(place[1]),
                "explained_x": float(explained[0]),
                "explained_y": float(explained[1]),
                "method": METHOD,
            }


def components(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first two principal components (n, 2) of n vectors, and the share of the variance that each explains (2,).

    The sign of each is such that its largest loading is positive.
    """
    centred = vectors - vectors.mean(axis=0)
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    places = np.zeros((len(vectors), 2))
    explained = np.zeros(2)
    kept = min(2, values.size)
    places[:, :kept] = (left * values * signs)[:, :kept]
    total = float((values**2).sum())
    if total > 0:
        explained[:kept] = values[:kept] ** 2 / total
    return places, explained
