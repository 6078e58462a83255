"""Does a network see the view? Its pooled features of frontal and lateral pictures on a plane (paper, Fig A.2).

t-SNE of at most `MOST` images, an even choice that is always the same; distances on the plane mean little beyond neighbours.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from db.results import FeatureMap
from xray.analyses import cells, features, results
from xray.analyses.analysis import Stored, analysis
from xray.analyses.features import Pooled
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts import representation
from xray.report.parts.part import Part

MOST: Final = 2000
PERPLEXITY: Final = 30.0
METHOD = f"t-SNE of pooled features (scikit-learn, perplexity {PERPLEXITY:g}, PCA start, seed 0), at most {MOST} images"


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    return representation.feature_map(result.rows, results.drawn_images(result.connection, result.study))


@analysis(
    "feature_map",
    "Does a network see the view? t-SNE of pooled features, frontal and lateral (Fig A.2)",
    FeatureMap,
    order=170,
    unit=cells.NOTHING,
    show=show,
    prepare=features.load,
    state=features.state,
)
def compute(
    study: StoredStudy, tests: Sequence[TestSet], pooled: Sequence[Pooled]
) -> Iterator[dict[str, Any]]:
    """Rows of table `feature_map`: per evaluation with features, and image."""
    if not pooled:
        return
    from sklearn.manifold import TSNE

    for pool in pooled:
        n = len(pool.images)
        rows = np.sort(np.random.default_rng(0).permutation(n)[:MOST])
        if rows.size < 8:
            continue
        scaled = pool.features[rows].astype(np.float64)
        spread = scaled.std(axis=0)
        scaled = (scaled - scaled.mean(axis=0))[:, spread > 0] / spread[spread > 0]
        if scaled.shape[1] < 2:
            continue
        perplexity = min(PERPLEXITY, (rows.size - 1) / 3)
        points = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(scaled)
        for row, (x, y) in zip(rows, points, strict=True):
            yield {
                "evaluation_id": pool.evaluation_id,
                "trained_on": pool.trained_on,
                "seed": pool.seed,
                "image_id": int(pool.images[row]),
                "x": float(x),
                "y": float(y),
                "method": METHOD,
            }
