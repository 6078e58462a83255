"""How many images does a validation need? Sizes for interval widths and detectable differences, and the reverse.

Sources: Riley et al., Statistics in Medicine 40 (2021) 4230-4251 (O/E, calibration slope, AUC, net benefit), whose program
pmvalsampsize gives the same numbers; Hanley and McNeil, Radiology 148 (1983) 839-843 (two correlated AUCs). All intervals
are 95 %. Images are taken as independent: with several of one patient, read "patients".
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri

from xray.stats.estimates import FloatArray

Z: Final = 1.96
SE_STEP: Final = 1e-4
"""Standard errors of O/E and net benefit go by these steps to the first that reaches the width: as pmvalsampsize does."""
NODES: Final = 200
MOST: Final = 10**9


def size_for_observed_expected(prevalence: float, width: float, ratio: float = 1.0) -> int:
    """Images for an interval of observed/expected positives of this width, around `ratio`. Raises `ValueError`."""
    _check(prevalence=prevalence)
    _check_positive(width=width, ratio=ratio)
    se = SE_STEP * math.ceil(math.asinh(width / (2 * ratio)) / Z / SE_STEP - 1e-9)
    return math.ceil((1 - prevalence) / (prevalence * se**2))


def size_for_slope(logits: FloatArray, weights: FloatArray, width: float) -> int:
    """Images for an interval of the calibration slope of this width, around 1.

    logits: (n,) calibrated log odds of the population; weights: (n,) of each, of any sum. Raises `ValueError`.
    """
    _check_positive(width=width)
    share = np.asarray(weights, float) / np.sum(weights)
    spread = expit(logits) * expit(-np.asarray(logits)) * share
    i00, i01, i11 = (float((spread * np.asarray(logits) ** power).sum()) for power in range(3))
    se = width / (2 * Z)
    return math.ceil(i00 / (se**2 * (i00 * i11 - i01**2)))


def normal_logits(mean: float, sd: float) -> tuple[FloatArray, FloatArray]:
    """Log odds of a population whose log odds are normal, and their weights, for `size_for_slope`: each (n,)."""
    _check_positive(sd=sd)
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return mean + sd * nodes, weights


def logits_of(auc: float, prevalence: float) -> tuple[FloatArray, FloatArray]:
    """Log odds, and their weights, where they are normal in both classes with one variance and are calibrated: each (n,).

    By Bayes' rule the variance is 2 Φ⁻¹(AUC)² and the negatives' mean logit(prevalence) − variance / 2.
    """
    _check(auc=auc, prevalence=prevalence)
    variance = 2 * float(ndtri(auc)) ** 2
    mean = math.log(prevalence / (1 - prevalence)) - variance / 2
    negative, weights = normal_logits(mean, math.sqrt(variance))
    both = np.concatenate([negative, negative + variance])
    return both, np.concatenate([(1 - prevalence) * weights, prevalence * weights])


def auc_se(auc: float, prevalence: float, n: float | NDArray[np.float64]) -> FloatArray:
    """Standard error of an AUC by Newcombe's formula (2006), for n images."""
    size = np.asarray(n, float)
    half = size / 2 - 1
    inner = 1 + half * (1 - auc) / (2 - auc) + half * auc / (1 + auc)
    return np.asarray(np.sqrt(auc * (1 - auc) * inner / (size**2 * prevalence * (1 - prevalence))))


def size_for_auc(auc: float, prevalence: float, width: float) -> int:
    """Images for an interval of the AUC of this width. Raises `ValueError`."""
    _check(auc=auc, prevalence=prevalence)
    _check_positive(width=width)
    return _least(lambda n: float(2 * Z * auc_se(auc, prevalence, n)) <= width)


def size_for_share(share: float, of: float, width: float) -> int:
    """Images for an interval of sensitivity, specificity, PPV or NPV of this width, by Wald's formula.

    of: the share of images that it is a share of: the prevalence for sensitivity, 1 − prevalence for specificity.
    """
    _check(share=share, of=of)
    _check_positive(width=width)
    return math.ceil(share * (1 - share) * (2 * Z / width) ** 2 / of - 1e-9)


def size_for_net_benefit(
    sensitivity: float, specificity: float, threshold: float, prevalence: float, width: float
) -> int:
    """Images for an interval of the standardised net benefit (net benefit / prevalence) of this width.

    threshold: the probability from which an image is called. Raises `ValueError`.
    """
    _check(sensitivity=sensitivity, specificity=specificity, threshold=threshold, prevalence=prevalence)
    _check_positive(width=width)
    odds = (1 - prevalence) / prevalence * threshold / (1 - threshold)
    se = round(SE_STEP * math.ceil(width / (2 * Z) / SE_STEP - 1e-9), 3)
    if se == 0:
        raise ValueError(f"width: expected at least 0.002, found {width}")
    hit = sensitivity * (1 - sensitivity) / prevalence
    spared = odds**2 * specificity * (1 - specificity) / (1 - prevalence)
    cross = odds**2 * (1 - specificity) ** 2 / (prevalence * (1 - prevalence))
    return math.ceil((hit + spared + cross) / se**2)


def size_for_difference(
    first: float, second: float, prevalence: float, correlation: float = 0.5, power: float = 0.8
) -> int:
    """Images for a difference of two AUCs of the same images to be shown at the 5 % level with this power.

    correlation: of the two AUCs' estimates, 0 for two sets of images of this size each. Raises `ValueError`.
    """
    _check(first=first, second=second, prevalence=prevalence, power=power)
    if not -1 < correlation < 1:
        raise ValueError(f"correlation: expected between -1 and 1, found {correlation}")
    if first == second:
        raise ValueError("two equal AUCs have no difference to show")
    target_se = abs(first - second) / detectable(1.0, power)
    return _least(lambda n: _se_of_difference(first, second, prevalence, correlation, n) <= target_se)


def _se_of_difference(first: float, second: float, prevalence: float, correlation: float, n: float) -> float:
    one, other = float(auc_se(first, prevalence, n)), float(auc_se(second, prevalence, n))
    return math.sqrt(one**2 + other**2 - 2 * correlation * one * other)


def detectable(se: float, power: float = 0.8) -> float:
    """The smallest difference that a two-sided test at 5 % shows with this power, where its standard error is `se`."""
    return float(ndtri(0.975) + ndtri(power)) * se


def _least(is_enough: Callable[[float], bool]) -> int:
    """The least n from 2 on that is enough. Raises `ValueError` where a thousand million is not."""
    low, high = 1, 2
    while not is_enough(high):
        low, high = high, high * 2
        if high > MOST:
            raise ValueError("more than a thousand million images would be needed")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _check(**shares: float) -> None:
    for name, value in shares.items():
        if not 0 < value < 1:
            raise ValueError(f"{name}: expected between 0 and 1, found {value}")


def _check_positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name}: expected above 0, found {value}")
