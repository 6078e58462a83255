"""A second image of each patient that shows the same is no further evidence: every interval is as wide as without it."""

import re

import numpy as np
import pytest
from scipy.special import stdtrit

from tests.xray.analyses.test_further import load
from xray.analyses import (
    agreement,
    average_precision,
    bland_altman,
    calibration,
    mean_auc,
    net_benefit,
    operating_points,
    partial_auc,
    performance,
    pooled_agreement,
    seed_agreement,
    threshold_transfer,
)
from xray.analyses.run import ANALYSES
from xray.analyses.synthesis import _measures
from xray.stats.calibration import calibration_line

TASKS = ("Effusion", "Mass")
PATIENTS = 150
OF_IMAGES = (
    "n", "n_pos", "numerator", "denominator", "bin_n", "cohort_id", "cohort_ids", "evaluation_ids", "method", "reference",
)  # fmt: skip
"""Columns that differ where images do."""


WIDE = {
    agreement: 0.02, average_precision: 0.02, bland_altman: 0.1, calibration: 0.15, mean_auc: 0.02, net_benefit: 0.02,
    operating_points: 0.02, partial_auc: 0.02, performance: 0.02, seed_agreement: 0.02, threshold_transfer: 0.03,
}  # fmt: skip
"""Analysis → how far bounds may differ: variances of m patients by m or m − 1, curvature or sums of derivatives."""
ELSEWHERE = {
    "leave_one_site_out", "reader_agreement", "images_or_labels", "causes", "interventions", "subgroups", "view_classifier",
}  # fmt: skip
"""Analyses with intervals that need another study; their own tests, or those of their statistics, have patients as units."""


@pytest.fixture
def twice(world):
    """Tests of hospital z, and of x, which has every image of z twice; each has a model of its own, and those of y and w.

    Two seeds each; the models of x and of z say the same.
    """
    rng = np.random.default_rng(5)
    values = {}
    for name in "zyw":
        labels = {task: (rng.random(PATIENTS) < 0.35).astype(float) for task in TASKS}
        labels["Mass"][:5] = np.nan
        easy = {task: np.nan_to_num(of) + 0.8 * rng.normal(size=PATIENTS) for task, of in labels.items()}
        scores = [
            {task: of + 0.6 * rng.normal(size=PATIENTS) - 1 for task, of in easy.items()} for _ in range(6)
        ]
        world.dataset(name, labels)
        values[name] = labels, scores
    labels, scores = values["z"]
    values["x"] = doubled(labels), [doubled(of) for of in scores]
    world.dataset("x", values["x"][0], images_per_patient=2)
    models = []
    for number, trained_on in enumerate(("y", "w", "z", "x")):
        for seed in (0, 1):
            models.append(world.model(trained_on, seed, [trained_on], list(TASKS)))
            for name, (_, of_models) in values.items():
                world.score(models[-1], name, of_models[2 * min(number, 2) + seed])
    world.study(["x", "y", "z", "w"], models)
    study, tests = load(world.engine)
    by_cohort = {test.cohort.id: test for test in tests}
    return study, tests, by_cohort[study.cohorts["z"]], by_cohort[study.cohorts["x"]]


def doubled(columns):
    return {task: np.repeat(values, 2) for task, values in columns.items()}


def assert_same(once, again, wide):
    """Values to the last digits; bounds up to a share of the interval's width, errors and p likewise."""
    assert once.keys() == again.keys()
    for name in once.keys() - set(OF_IMAGES):
        one, two = once[name], again[name]
        if isinstance(one, list):
            np.testing.assert_allclose(two, one, atol=wide * 0.2, err_msg=name)
        elif isinstance(one, float):
            assert two == pytest.approx(one, rel=wide, abs=wide * 0.2), name
        else:
            assert one == two, name


@pytest.mark.parametrize(
    ("module", "wide"), WIDE.items(), ids=lambda of: getattr(of, "__name__", "").rpartition(".")[2]
)
def test_an_image_twice_is_no_further_evidence(twice, module, wide):
    study, tests, single, double = twice
    rows = list(module.compute(study, tests))
    once, again = (
        [row for row in rows if row["cohort_id"] == test.cohort.id and row["trained_on"] in ("y", "w")]
        for test in (single, double)
    )
    assert len(once) == len(again) > 0
    for row, other in zip(once, again, strict=True):
        assert_same(row, other, wide)
        assert "patient" in other["method"]


def test_pooled_images_twice_are_no_further_evidence(twice):
    study, _, single, double = twice
    once, again = (list(pooled_agreement.compute(study, [test])) for test in (single, double))
    assert len(once) == len(again) > 0
    for row, other in zip(once, again, strict=True):
        assert_same(row, other, 0.02)
        assert row["method"] == pooled_agreement.METHOD
        assert other["method"] == pooled_agreement.CLUSTERED_METHOD


def test_a_patient_of_two_cohorts_is_one_patient(twice):
    """x has the images of z twice: pooled with itself it says no more."""
    study, _, _, double = twice
    once, again = (list(pooled_agreement.compute(study, tests)) for tests in ([double], [double, double]))
    for row, other in zip(once, again, strict=True):
        assert other["n"] == 2 * row["n"]
        assert [other["lower"], other["upper"]] == pytest.approx([row["lower"], row["upper"]], abs=0.003)


def test_no_analysis_with_an_interval_is_forgotten():
    bounds = re.compile("lower|upper|_from|p$")
    columns = {analysis.name: analysis.table.__table__.columns.keys() for analysis in ANALYSES}
    with_bounds = {name for name, of in columns.items() if any(map(bounds.search, of))}
    tested = {module.__name__.rpartition(".")[2] for module in WIDE} | {"pooled_agreement", "synthesis"}
    assert with_bounds == tested | ELSEWHERE


def test_what_is_synthesised_has_patients_as_units(twice):
    _, _, single, double = twice
    for task in single.labelled_tasks():
        once, again = (_measures(test, "y", task, 0.0) for test in (single, double))
        for measure, (value, error) in once.items():
            assert again[measure] == pytest.approx((value, error), rel=0.1), measure


def test_the_slopes_bounds_are_students_where_patients_have_several_images():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=60)
    labels = (rng.random(60) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    labels[::12] = np.nan  # so that one of the patients has no label
    patients, p = np.repeat(np.arange(5), 12), 1 / (1 + np.exp(-logits))
    patients[::12] = 7
    for of, quantile in ((patients, stdtrit(4, 0.975)), (None, 1.959964)):
        line = calibration_line(labels, p, of)
        _, slope, lower, upper = calibration._with_bounds(line, ~np.isnan(labels), of)
        half = quantile * np.sqrt(line.covariance[1, 1])
        assert (lower, upper) == pytest.approx((slope - half, slope + half), rel=1e-6)
