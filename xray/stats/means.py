"""Mean AUC over findings, and its difference between two models: from one bootstrap over patients for all of them.

Percentiles of the mean's replicates hold too rarely where findings have few positives or an AUC near 1. Instead the mean is
taken as an AUC whose variance is the replicates' · n / (n − 1) and whose positives and negatives are those of all findings
together, divided by how much the findings vary together: with `xray.stats.delong.logit_bounds` and Student's quantile.
Differences of models: Student's t with the floor of `xray.stats.differences`.
"""

from collections.abc import Sequence

import numpy as np

from xray.stats.bootstrap import BootstrapAuc
from xray.stats.delong import logit_bounds
from xray.stats.differences import degrees_of_freedom, least_variance, student
from xray.stats.estimates import FloatArray


def mean_of(
    tasks: Sequence[BootstrapAuc], models: Sequence[int], level: float = 0.95
) -> tuple[float, float, float]:
    """(mean AUC, lower, upper) over tasks, of the model at these positions; the tasks' replicates are of the same draws."""
    pairs = list(zip(tasks, models, strict=True))
    value = np.array([task.estimates.value[model] for task, model in pairs]).mean(keepdims=True)
    variance, degrees, together = _spread([task.replicates[:, model] for task, model in pairs], tasks)
    n_pos, n_neg = (
        np.array([sum(getattr(task, name) for task in tasks) / together])
        for name in ("n_positive", "n_negative")
    )
    lower, upper = logit_bounds(value, np.array([variance]), n_pos, n_neg, level, degrees)
    return float(value[0]), float(lower[0]), float(upper[0])


def mean_difference(
    tasks: Sequence[BootstrapAuc], first: Sequence[int], second: Sequence[int], level: float = 0.95
) -> tuple[float, float, float, float]:
    """(difference, lower, upper, p) of the mean AUCs over tasks of two models, first minus second."""
    triples = list(zip(tasks, first, second, strict=True))
    differences = [task.replicates[:, one] - task.replicates[:, two] for task, one, two in triples]
    difference = np.mean(
        [task.estimates.value[one] - task.estimates.value[two] for task, one, two in triples]
    )
    variance, degrees, _ = _spread(differences, tasks)
    least = sum(float(least_variance(task.n_positive, task.n_negative)) for task in tasks) / len(tasks) ** 2
    total = np.array(variance + least if variance > 0 else 0.0)
    lower, upper, p = student(np.array(difference), total, degrees, level)
    return float(difference), float(lower), float(upper), float(p)


def _spread(
    replicates: Sequence[FloatArray], tasks: Sequence[BootstrapAuc]
) -> tuple[float, FloatArray, float]:
    """Of the mean over tasks of replicates (n_replicates,) each: variance, degrees of freedom, and its variance in units of
    that of independent tasks (at least 1).
    """
    fewest = np.array([min(task.n_positive, task.n_negative) for task in tasks])
    variances = np.nanvar(replicates, axis=1, ddof=1) * fewest / (fewest - 1)
    variance = float(np.nanvar(np.mean(replicates, axis=0), ddof=1) * (fewest / (fewest - 1)).mean())
    independent = float(variances.sum()) / len(tasks) ** 2
    together = max(variance / independent, 1.0) if independent > 0 else 1.0
    return variance, degrees_of_freedom(variances, fewest - 1), together
