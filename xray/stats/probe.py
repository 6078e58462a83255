"""Can the sites be told apart? A linear source classifier, cross-fitted.

An AUC near 1 only says that sites leave a mark, which nearly all do; it is no evidence that models suffer
from it.
"""

import numpy as np
from numpy.typing import NDArray

from xray.stats.clustered import clustered_auc_interval
from xray.stats.delong import auc_interval
from xray.stats.estimates import Estimates, FloatArray, Numbers


def source_probe(
    features: Numbers,
    site: Numbers,
    patients: NDArray[np.generic] | None = None,
    n_folds: int = 5,
    penalty: float = 1e-3,
    seed: int = 0,
    level: float = 0.95,
) -> Estimates:
    """AUC of a ridge-regularised linear discriminant that guesses the site, on folds that it was not fitted
    to.

    features: (n_images, n_features), finite: logits or pooled features. site: (n_images,) of 1 and 0.
    patients: (n_images,); a patient's images share a fold. penalty: ridge relative to the features' mean
    variance. Interval by DeLong on the cross-fitted scores, of each fold centred and scaled; patients are its units where
    they have several images.
    """
    x, y = np.asarray(features, dtype=np.float64), np.asarray(site, dtype=np.float64)
    if x.ndim != 2 or y.shape != x.shape[:1] or not np.isfinite(x).all():
        raise ValueError(
            f"expected finite features (n_images, n_features) and site (n_images,); got {x.shape}, {y.shape}"
        )
    unit = np.arange(y.size) if patients is None else np.unique(np.asarray(patients), return_inverse=True)[1]
    n_units = int(unit.max()) + 1 if unit.size else 0
    fold = np.random.default_rng(seed).permutation(n_units)[unit] % n_folds
    scores = np.full(y.size, np.nan)
    for held_out in range(n_folds):
        training, held_out_images = fold != held_out, fold == held_out
        if y[training].min(initial=1) == y[training].max(initial=0) or not training.any():
            continue
        scores[held_out_images] = _discriminant(x[training], y[training], penalty, x[held_out_images])
    if n_units == y.size:
        return auc_interval(y, scores, level)
    return clustered_auc_interval(y, scores, unit, level)


def _discriminant(x: FloatArray, y: FloatArray, penalty: float, new: FloatArray) -> FloatArray:
    """Least squares of the site on centred features, and its prediction in units of its own standard
    deviation.
    """
    centre = x.mean(axis=0)
    inner = (x - centre).T @ (x - centre)
    inner[np.diag_indices_from(inner)] += penalty * max(float(inner.trace()) / len(inner), 1e-300)
    direction = np.linalg.solve(inner, (x - centre).T @ (y - y.mean()))
    spread = float(((x - centre) @ direction).std())
    scores: FloatArray = (new - centre) @ direction / (spread or 1.0)
    return scores
