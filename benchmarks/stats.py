"""Statistics against the usual libraries: rows A2 to A5. python -m benchmarks.stats [--quick] [--json]"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: one core for both sides
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from benchmarks.report import Row, arguments, compare, is_equal, judged
from xray.stats.agreement import kappa_matrix
from xray.stats.bootstrap import bootstrap_auc, patient_weights
from xray.stats.delong import delong_covariance
from xray.stats.roc import auc

Floats = NDArray[np.float32]


def logits(labels: Floats, rng: np.random.Generator) -> Floats:
    """Scores of a middling model; every other column rounded, so that half of the work has many ties."""
    scores = rng.normal(size=labels.shape) + 1.2 * labels - 2
    scores[..., ::2] = np.round(scores[..., ::2], 2)
    return scores.astype(np.float32)


def area(rounds: int, name: str, lowest: float, highest: float) -> Row:
    """A2: AUC of 18 tasks of 100,000 images in memory."""
    rng = np.random.default_rng(2)
    labels = (rng.random((100_000, 18)) < rng.uniform(lowest, highest, 18)).astype(np.float32)
    scores = logits(labels, rng)

    def peer() -> NDArray[np.float64]:
        return np.array([roc_auc_score(labels[:, task], scores[:, task]) for task in range(18)])

    equal = bool(np.abs(peer() - auc(labels, scores).value).max() <= 1e-12)
    timing = compare(peer, lambda: auc(labels, scores), rounds, repeats=5)
    work = f"AUC, 100,000 × 18, {name}; peer: sklearn.roc_auc_score by column"
    return Row("A2", work, timing.peer * 1e3, timing.ours * 1e3, timing.ratio, "ms", equal)


def midranks(labels: Floats, scores: Floats) -> NDArray[np.float64]:
    """DeLong's covariance as Sun and Xu (2014) compute it, by scipy's midranks."""
    positives, negatives = scores[:, labels == 1], scores[:, labels == 0]
    m, n = positives.shape[1], negatives.shape[1]
    together = rankdata(np.concatenate([positives, negatives], axis=1), axis=1)
    v10 = (together[:, :m] - rankdata(positives, axis=1)) / n
    v01 = 1 - (together[:, m:] - rankdata(negatives, axis=1)) / m
    covariance: NDArray[np.float64] = np.cov(v10) / m + np.cov(v01) / n
    return covariance


def covariance(rounds: int) -> Row:
    """A3: DeLong's covariance of 10 models on 50,000 images."""
    rng = np.random.default_rng(3)
    labels = (rng.random(50_000) < 0.1).astype(np.float32)
    scores = np.ascontiguousarray(logits(np.tile(labels[:, None], (1, 10)), rng).T)
    difference = midranks(labels, scores) - delong_covariance(labels, scores).covariance
    timing = compare(
        lambda: midranks(labels, scores), lambda: delong_covariance(labels, scores), rounds, repeats=3
    )
    work = "DeLong covariance, 10 models, 50,000 images; peer: midranks by scipy.rankdata"
    equal = bool(np.abs(difference).max() <= 1e-12)
    return Row("A3", work, timing.peer * 1e3, timing.ours * 1e3, timing.ratio, "ms", equal)


def bootstrap(rounds: int) -> Row:
    """A4: one replicate of a bootstrap over 6,000 patients with 10,000 images."""
    rng = np.random.default_rng(4)
    labels = (rng.random(10_000) < 0.1).astype(np.float32)
    scores = np.round(rng.normal(size=10_000) + labels, 2).astype(np.float32)
    names, patient = np.unique(rng.integers(0, 6_000, 10_000), return_inverse=True)
    images = [np.flatnonzero(patient == p) for p in range(names.size)]
    n_peer, n_ours = 20, 2_000

    def peer() -> None:
        for _ in range(n_peer):
            sample = rng.integers(0, names.size, names.size)
            rows = np.concatenate([images[p] for p in sample])
            roc_auc_score(labels[rows], scores[rows])

    replicates = bootstrap_auc(labels, scores, patient, 20).replicates[:, 0]
    weights = patient_weights(names.size, 20, 0)
    expected = [roc_auc_score(labels, scores, sample_weight=weight[patient]) for weight in weights]
    timing = compare(peer, lambda: bootstrap_auc(labels, scores, patient, n_ours), rounds)
    work = "bootstrap over 6,000 patients, 10,000 images, ties; peer: resample and sklearn.roc_auc_score"
    peer_seconds, product_seconds = timing.peer / n_peer, timing.ours / n_ours
    equal = bool(np.abs(replicates - expected).max() <= 1e-12)
    ratio = timing.ratio * n_ours / n_peer
    return Row("A4", work, peer_seconds * 1e6, product_seconds * 1e6, ratio, "µs per replicate", equal)


def agreement(rounds: int) -> Row:
    """A5: κ of all pairs of 50 models on 20,000 images."""
    rng = np.random.default_rng(5)
    common = rng.random(20_000)
    calls = (0.6 * common + 0.4 * rng.random((50, 20_000)) < 0.3).astype(np.int8)

    def peer() -> list[float]:
        return [cohen_kappa_score(calls[a], calls[b]) for a in range(50) for b in range(a + 1, 50)]

    upper = np.triu_indices(50, 1)
    equal = bool(np.abs(peer() - kappa_matrix(calls).value[upper]).max() <= 1e-12)
    timing = compare(peer, lambda: kappa_matrix(calls), rounds, repeats=50)
    work = "κ and its interval, all pairs of 50 models, 20,000 images; peer: sklearn.cohen_kappa_score"
    return Row("A5", work, timing.peer * 1e3, timing.ours * 1e3, timing.ratio, "ms", equal)


def rows(quick: bool) -> Iterator[Row]:
    """All claims, each as soon as it is measured."""
    rounds = 3 if quick else 9
    yield area(rounds, "1–20 % positive", 0.01, 0.2)
    yield area(rounds, "half positive", 0.5, 0.5)
    yield covariance(rounds)
    yield bootstrap(rounds)
    yield agreement(1 if quick else 3)


def main() -> int:
    """Print every row; exit code 1 where a result differs from the peer's."""
    options = arguments(__doc__)
    return judged(rows(options.quick), options.json, is_equal)


if __name__ == "__main__":
    raise SystemExit(main())
