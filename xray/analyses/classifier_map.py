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


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    return representation.classifier_map(result.rows)


@analysis(
    "classifier_map",
    "Where do the classifiers of each dataset and task lie? PCA of their vectors (Fig 5)",
    ClassifierMap,
    order=150,
    unit=cells.NOTHING,
    show=show,
    prepare=classifiers.load,
    state=classifiers.state,
)
def compute(study: StoredStudy, tests: Sequence[TestSet], heads: Sequence[Heads]) -> Iterator[dict[str, Any]]:
    """Rows of table `classifier_map`: per model, dataset and task."""
    for model in heads:
        points, shares = components(model.weights)
        for (dataset, task), point in zip(model.keys, points, strict=True):
            yield {
                "trained_on": model.trained_on,
                "seed": model.seed,
                "dataset_id": dataset,
                "task_id": task,
                "x": float(point[0]),
                "y": float(point[1]),
                "explained_x": float(shares[0]),
                "explained_y": float(shares[1]),
                "method": METHOD,
            }


def components(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first two principal components (n, 2) of n vectors, and the share of the variance that each explains (2,).

    The sign of each is such that its largest loading is positive.
    """
    centred = vectors - vectors.mean(axis=0)
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    points = np.zeros((len(vectors), 2))
    shares = np.zeros(2)
    n_axes = min(2, values.size)
    points[:, :n_axes] = (left * values * signs)[:, :n_axes]
    total = float((values**2).sum())
    if total > 0:
        shares[:n_axes] = values[:n_axes] ** 2 / total
    return points, shares
