"""How a finding goes with the other findings of the pair, by labels and by scores, and what of that differs between sites.

Labels with labels (odds ratios) can't be changed by a picture; scores with scores within classes hardly by a label; and who
comes, and with what else, shows in both.
"""

import numpy as np
from scipy.special import ndtr

from xray.stats.estimates import FloatArray
from xray.stats.part import Part


def companions(one: Part, two: Part) -> tuple[dict[str, FloatArray], FloatArray]:
    """Odds ratios of labels with each other: the finding's largest and mean change, and p of the largest, Bonferroni."""
    ratios = []
    for part in (one, two):
        yes, no = ((part.labels == value).astype(np.float64) for value in (1, 0))
        both, neither, first, second = (
            x.T @ y + 0.5 for x, y in ((yes, yes), (no, no), (yes, no), (no, yes))
        )
        variance = part.effect * (1 / both + 1 / neither + 1 / first + 1 / second)
        ratios.append((np.log(both * neither / (first * second)), variance))
    z = (ratios[1][0] - ratios[0][0]) / np.sqrt(ratios[0][1] + ratios[1][1])
    n = len(z)
    if n < 2:
        nothing = np.full(n, np.nan)
        return {"companions": nothing, "companions mean": nothing, "companions of others": nothing}, nothing
    off = ~np.eye(n, dtype=np.bool_)
    squares = np.where(off, z**2, 0)
    largest = np.sqrt(squares.max(axis=1))
    others = (squares.sum() - 2 * squares.sum(axis=1)) / max((n - 1) * (n - 2), 1)
    found = {
        "companions": np.arcsinh(largest),
        "companions mean": 0.5 * np.log(squares.sum(axis=1) / (n - 1) + 0.1),
        "companions of others": 0.5 * np.log(np.maximum(others, 0) + 0.1) if n > 2 else np.full(n, np.nan),
    }
    return found, np.minimum(1, (n - 1) * 2 * ndtr(-largest))


def across(one: Part, two: Part) -> dict[str, FloatArray]:
    """How scores go with each other within classes (labels play hardly a part), and labels with other findings' scores."""
    n = one.labels.shape[1]
    nothing = np.full(n, np.nan)
    if n < 2:
        return {
            name: nothing for name in ("residuals", "residuals of all", "other scores", "other scores mean")
        }
    off = ~np.eye(n, dtype=np.bool_)
    correlations, gaps, variances = [], [], []
    for part in (one, two):
        scores, yes = np.nan_to_num(part.scores), (part.labels == 1) & part.known
        no = (part.labels == 0) & part.known
        n_1, n_0 = yes.sum(axis=0), no.sum(axis=0)
        mean_1, mean_0 = yes.T @ scores / n_1[:, None], no.T @ scores / n_0[:, None]
        rest = np.where(yes, scores - np.diag(mean_1), np.where(no, scores - np.diag(mean_0), 0))
        spread = np.sqrt((rest**2).sum(axis=0)) + 1e-9
        correlations.append(
            np.arctanh(np.clip(np.where(off, (rest / spread).T @ (rest / spread), 0), -0.999, 0.999))
        )
        gaps.append(mean_1 - mean_0)
        variances.append(part.effect * scores.var(axis=0)[None] * (1 / n_1 + 1 / n_0)[:, None])
    size = sum(part.effect / len(part.labels) for part in (one, two))
    residual = np.where(off, (correlations[1] - correlations[0]) ** 2 / size, 0)
    moved = np.where(off, (gaps[1] - gaps[0]) ** 2 / (variances[0] + variances[1] + 1e-9), 0)
    return {
        "residuals": 0.5 * np.log(residual.sum(axis=1) / (n - 1) + 0.1),
        "residuals of all": np.full(n, 0.5 * np.log(residual.sum() / (n * (n - 1)) + 0.1)),
        "other scores": np.arcsinh(np.sqrt(moved.max(axis=1))),
        "other scores mean": 0.5 * np.log(moved.sum(axis=1) / (n - 1) + 0.1),
    }
