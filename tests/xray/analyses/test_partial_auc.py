"""Partial AUC: scikit-learn's number, influences by finite differences, an interval that holds, rows of stored scores."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve
from sqlalchemy import text

from xray.analyses.partial_auc import MOST
from xray.analyses.run import by_name, run
from xray.analyses.stored import load_study, load_tests
from xray.stats.partial_auc import _area, partial_auc
from xray.tasks import TASK_INDEX


def world(rng, n_pos=60, n_neg=240, distance=1.2):
    labels = np.r_[np.ones(n_pos), np.zeros(n_neg)]
    return labels, rng.normal(size=n_pos + n_neg) + distance * labels


@pytest.mark.parametrize("most", [0.05, 0.1, 0.3, 1])
@pytest.mark.parametrize("digits", [6, 1, 0])
def test_partial_auc_equals_scikit_learn_also_with_ties(digits, most):
    labels, scores = world(np.random.default_rng(digits))
    scores = np.round(scores, digits)
    expected = roc_auc_score(labels, scores, max_fpr=most)
    assert partial_auc(labels, scores, most).value == pytest.approx(expected, abs=1e-12)


def weighted_area(labels, scores, weights, most):
    rates, shares, _ = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    end = np.searchsorted(rates, most, "right")
    last = np.interp(most, rates[end - 1 : end + 1], shares[end - 1 : end + 1])
    return np.trapezoid(np.append(shares[:end], last), np.append(rates[:end], most))


@pytest.mark.parametrize("digits", [6, 1])
def test_an_influence_is_the_derivative_by_the_weight_of_the_image(digits):
    labels, scores = world(np.random.default_rng(3), 20, 50)
    scores = np.round(scores, digits)
    area, moved = _area(labels, scores, 0.23)
    ones, step = np.ones(70), 1e-6
    assert area == pytest.approx(weighted_area(labels, scores, ones, 0.23), abs=1e-12)
    slopes = [
        (weighted_area(labels, scores, ones + step * (np.arange(70) == image), 0.23) - area) / step
        for image in range(70)
    ]
    np.testing.assert_allclose(moved, slopes, atol=1e-7)


@pytest.mark.parametrize(
    ("n_pos", "distance", "truth"), [(10, 0.5, 0.53756), (30, 1.2, 0.63487), (100, 2.5, 0.87241)]
)
def test_the_interval_covers_the_truth_at_its_level(n_pos, distance, truth):
    """truth: of the two normal distributions, by integration."""
    rng = np.random.default_rng(n_pos)
    covered = 0
    for _ in range(400):
        estimate = partial_auc(*world(rng, n_pos, 10 * n_pos, distance))
        covered += estimate.lower <= truth <= estimate.upper
    assert covered / 400 >= 0.92  # wider than 95 % where few positives are called at all


def test_intervals_have_patients_as_units():
    labels, scores = world(np.random.default_rng(5), 40, 160)
    once = partial_auc(labels, scores)
    fourfold = partial_auc(np.tile(labels, 4), np.tile(scores, 4), units=np.tile(np.arange(200), 4))
    assert fourfold.value == pytest.approx(once.value)
    assert float(fourfold.lower) == pytest.approx(float(once.lower))
    assert float(fourfold.upper) == pytest.approx(float(once.upper))


def test_an_undefined_value_has_a_reason():
    assert partial_auc([1.0, 1.0], [0.1, 0.2]).reason == "one class"
    alone = partial_auc([1.0, 0.0, 0.0], [0.3, 0.2, 0.1])
    assert (alone.value, str(alone.reason)) == (1.0, "fewer than two positives")
    assert np.isnan(alone.lower)
    perfect = partial_auc(np.repeat([1.0, 0.0], 11), np.arange(22.0, 0, -1))
    assert (perfect.value, perfect.upper) == (1.0, 1.0)
    assert 0.5 < perfect.lower < 0.9
    with pytest.raises(ValueError, match="false positive rate"):
        partial_auc([1.0, 0.0], [0.2, 0.1], most=10)


def test_rows_equal_those_computed_from_the_stored_scores(two_sites):
    run(two_sites.engine, "test", [by_name("partial_auc")])
    with two_sites.engine.begin() as connection:
        tests = load_tests(connection, load_study(connection, "test"))
        rows = connection.execute(text("select * from partial_auc_results")).mappings().all()
    for test in tests:
        labels = test.cohort.labels[:, TASK_INDEX["Effusion"]]
        labelled = ~np.isnan(labels)
        for name in test.trained_on:
            (row,) = [
                r for r in rows
                if (r["test_dataset"], r["trained_on"], r["task"]) == (test.dataset, name, "Effusion")
            ]  # fmt: skip
            scores = test.ensemble(name)[labelled, TASK_INDEX["Effusion"]]
            assert row["partial_auc"] == pytest.approx(roc_auc_score(labels[labelled], scores, max_fpr=MOST))
            assert row["lower"] <= row["partial_auc"] <= row["upper"]
            assert (row["n"], row["n_pos"]) == (labelled.sum(), labels[labelled].sum())
