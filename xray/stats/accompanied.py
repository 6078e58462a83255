"""How a finding is associated with the other findings, by labels and by scores, and how that differs between sites.

Labels with labels (odds ratios) can't be changed by a picture; scores with scores within classes hardly by a label; and who
comes, and with what else, shows in both.
"""

import numpy as np
from scipy.special import ndtr

from xray.stats.estimates import FloatArray
from xray.stats.part import Part
from xray.stats.roc import auc


def companions(one: Part, two: Part) -> tuple[dict[str, FloatArray], FloatArray]:
    """Odds ratios of pairs of labels: the finding's largest and mean change, and p of the largest, Bonferroni."""
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
        undefined = np.full(n, np.nan)
        return {
            "companions": undefined,
            "companions mean": undefined,
            "companions of others": undefined,
        }, undefined
    off = ~np.eye(n, dtype=np.bool_)
    squares = np.where(off, z**2, 0)
    largest = np.sqrt(squares.max(axis=1))
    of_others = (squares.sum() - 2 * squares.sum(axis=1)) / max((n - 1) * (n - 2), 1)
    columns = {
        "companions": np.arcsinh(largest),
        "companions mean": 0.5 * np.log(squares.sum(axis=1) / (n - 1) + 0.1),
        "companions of others": 0.5 * np.log(np.maximum(of_others, 0) + 0.1) if n > 2 else np.full(n, np.nan),
    }
    return columns, np.minimum(1, (n - 1) * 2 * ndtr(-largest))


def across(one: Part, two: Part) -> dict[str, FloatArray]:
    """Correlations of scores within classes (which depend little on labels), and of labels with other findings' scores."""
    n = one.labels.shape[1]
    undefined = np.full(n, np.nan)
    if n < 2:
        return {
            name: undefined for name in ("residuals", "residuals of all", "other scores", "other scores mean")
        }
    off = ~np.eye(n, dtype=np.bool_)
    correlations, gaps, variances = [], [], []
    for part in (one, two):
        scores, yes = np.nan_to_num(part.scores), (part.labels == 1) & part.usable
        no = (part.labels == 0) & part.usable
        n_1, n_0 = yes.sum(axis=0), no.sum(axis=0)
        mean_1, mean_0 = yes.T @ scores / n_1[:, None], no.T @ scores / n_0[:, None]
        residuals = np.where(yes, scores - np.diag(mean_1), np.where(no, scores - np.diag(mean_0), 0))
        spread = np.sqrt((residuals**2).sum(axis=0)) + 1e-9
        correlations.append(
            np.arctanh(
                np.clip(np.where(off, (residuals / spread).T @ (residuals / spread), 0), -0.999, 0.999)
            )
        )
        gaps.append(mean_1 - mean_0)
        variances.append(part.effect * scores.var(axis=0)[None] * (1 / n_1 + 1 / n_0)[:, None])
    size = sum(part.effect / len(part.labels) for part in (one, two))
    residual = np.where(off, (correlations[1] - correlations[0]) ** 2 / size, 0)
    changes = np.where(off, (gaps[1] - gaps[0]) ** 2 / (variances[0] + variances[1] + 1e-9), 0)
    return {
        "residuals": 0.5 * np.log(residual.sum(axis=1) / (n - 1) + 0.1),
        "residuals of all": np.full(n, 0.5 * np.log(residual.sum() / (n * (n - 1)) + 0.1)),
        "other scores": np.arcsinh(np.sqrt(changes.max(axis=1))),
        "other scores mean": 0.5 * np.log(changes.sum(axis=1) / (n - 1) + 0.1),
    }


def within(one: Part, two: Part) -> dict[str, FloatArray]:
    """How a finding's scores, within each class, vary with the other labels: largest and mean change, (n_tasks,) each."""
    n = one.labels.shape[1]
    names = [f"{of} by labels{suffix}" for of in ("positives", "negatives") for suffix in ("", " mean")]
    if n < 2:
        return dict.fromkeys(names, np.full(n, np.nan))
    off = ~np.eye(n, dtype=np.bool_)
    columns: list[FloatArray] = []
    for value in (1, 0):
        gaps, variances = [], []
        for part in (one, two):
            in_class = (part.usable & (part.labels == value)).astype(np.float64)
            scores = np.nan_to_num(part.scores)
            mean = (in_class * scores).sum(axis=0) / np.maximum(in_class.sum(axis=0), 1)
            residuals = in_class * (scores - mean)
            with_other, without_other = ((part.labels == other).astype(np.float64) for other in (1, 0))
            n_with, n_without = in_class.T @ with_other + 0.5, in_class.T @ without_other + 0.5
            gaps.append(residuals.T @ with_other / n_with - residuals.T @ without_other / n_without)
            spread = (residuals**2).sum(axis=0) / np.maximum(in_class.sum(axis=0), 1) + 1e-3
            variances.append(part.effect * spread[:, None] * (1 / n_with + 1 / n_without))
        changes = np.where(off, (gaps[1] - gaps[0]) ** 2 / (variances[0] + variances[1]), 0)
        columns += [
            np.arcsinh(np.sqrt(changes.max(axis=1))),
            0.5 * np.log(changes.sum(axis=1) / (n - 1) + 0.1),
        ]
    return dict(zip(names, columns, strict=True))


def unaccompanied(one: Part, two: Part) -> dict[str, FloatArray]:
    """The drop among images without another positive label, and among those with one; NaN without both classes."""
    n = one.labels.shape[1]
    columns: dict[str, FloatArray] = {}
    for name, accompanied in (("drop alone", False), ("drop accompanied", True)):
        values, sizes = [], []
        for part in (one, two):
            positive = part.labels == 1
            has_other = positive.sum(axis=1, keepdims=True) - positive > 0
            labels = np.where(part.usable & (has_other == accompanied), part.labels, np.nan)
            values.append(auc(labels, part.scores).value)
            yes, no = ((labels == of).sum(axis=0) / part.effect for of in (1, 0))
            sizes.append(1 / (yes + 0.5) + 1 / (no + 0.5))
        drop = np.where(n > 1, values[0] - values[1], np.nan)
        columns[name] = drop
        columns[f"{name} z"] = np.arcsinh(drop / np.sqrt((sizes[0] + sizes[1]) / 12))
    return columns
