"""Do a model's probabilities mean what they say? Brier's score and its parts, ECE, Cox's line, the reliability curve."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from db.results import Calibration
from xray.analyses import cells
from xray.analyses.analysis import Stored, analysis
from xray.analyses.parallel import flat_side_by_side
from xray.analyses.resampled import repeated_patients
from xray.analyses.rows import NOT_TRAINED, number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts import operating
from xray.report.parts.part import Part
from xray.stats.calibration import binned, brier_of, calibration_line, curve_error, curve_of
from xray.stats.estimates import codes_of
from xray.stats.logistic import LogisticFit, quantile_of

METHOD = "sigmoid of mean logits over seeds, 10 bins of equal mass, Cox's line by maximum likelihood, 95 %"
CLUSTERED_METHOD = f"{METHOD}, patients as units"
FEWEST = 10
"""So many of either class before a line is fitted."""


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    return operating.calibration(result.rows)


@analysis(
    "calibration",
    "Do probabilities mean what they say? Brier score and its parts, ECE, reliability curve",
    Calibration,
    order=120,
    unit=cells.MODEL,
    show=show,
)
def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `calibration`: per test cohort, task and configuration."""
    yield from flat_side_by_side(_rows, ((test, name) for test in tests for name in test.configurations))


def _rows(test: TestSet, trained_on: str) -> list[dict[str, Any]]:
    labels, probabilities = test.cohort.labels, expit(test.ensemble(trained_on))
    patients = repeated_patients(test)
    bins = binned(labels, probabilities, patients=patients)
    score, curve = brier_of(bins), curve_of(bins)
    error = curve_error(curve)
    trained = test.trained_tasks(trained_on)
    rows = []
    for task in sorted(test.labelled_tasks()):
        n, n_pos = int(score.n[task]), int(score.n_pos[task])
        line = [np.nan] * 4
        if min(n_pos, n - n_pos) >= FEWEST:
            line = _line(test, trained_on, task)
        nonempty = curve.observed.n[:, task] > 0
        row = {
            "cohort_id": test.cohort.id,
            "task_id": task,
            "trained_on": trained_on,
            "n": n,
            "n_pos": n_pos,
            "brier": number(score.score[task]),
            "reliability": number(score.reliability[task]),
            "resolution": number(score.resolution[task]),
            "uncertainty": number(score.uncertainty[task]),
            "ece": number(error.value[task]),
            **dict(zip(("intercept", "slope", "slope_lower", "slope_upper"), map(number, line), strict=True)),
            "bin_n": curve.observed.n[nonempty, task].tolist(),
            "bin_predicted": curve.predicted[nonempty, task].tolist(),
            "bin_observed": curve.observed.value[nonempty, task].tolist(),
            "bin_lower": curve.observed.lower[nonempty, task].tolist(),
            "bin_upper": curve.observed.upper[nonempty, task].tolist(),
            "method": METHOD if patients is None else CLUSTERED_METHOD,
            "reason": (str(score.reason[task]) or None) if task in trained else NOT_TRAINED,
            "evaluation_ids": test.ids(trained_on),
        }
        rows.append(row)
    return rows


def line_of(test: TestSet, trained_on: str, task: int) -> LogisticFit:
    """Cox's calibration line of an ensemble; patients are the units where some have several images. Cached in `test`."""
    key = "calibration line", trained_on, task
    if key not in test.cache:
        probabilities = np.clip(expit(test.ensemble(trained_on)[:, task]), 1e-15, 1 - 1e-15)
        test.cache[key] = calibration_line(
            test.cohort.labels[:, task], probabilities, repeated_patients(test)
        )
    cached: LogisticFit = test.cache[key]
    return cached


def _line(test: TestSet, trained_on: str, task: int) -> list[float]:
    """(intercept, slope, its lower and upper bound); NaN where the likelihood has no maximum."""
    scored = ~np.isnan(test.cohort.labels[:, task]) & ~np.isnan(test.ensemble(trained_on)[:, task])
    return _with_bounds(line_of(test, trained_on, task), scored, repeated_patients(test))


def _with_bounds(
    line: LogisticFit, scored: NDArray[np.bool_], patients: NDArray[np.integer] | None
) -> list[float]:
    """scored: (n_images,) those that the line was fitted to. patients: (n_images,) codes; None: one image each."""
    intercept, slope = line.coefficients
    units = np.arange(scored.sum()) if patients is None else codes_of(patients[scored])
    half_width = quantile_of(units) * np.sqrt(line.covariance[1, 1])
    return [float(value) for value in (intercept, slope, slope - half_width, slope + half_width)]
