import numpy as np
import pytest
from scipy.stats import binom, norm

from xray.data.phantom.patients import sample_cases
from xray.data.phantom.reading import read_labels
from xray.data.phantom.sites import FINDINGS, PHANTOM_TASKS, Labelling, PhantomSite

CASES = sample_cases(PhantomSite("x"), range(600), 0)
TRUTH = CASES.present[:, : len(PHANTOM_TASKS)].astype(float)
EXACT = Labelling(reading_error=0.0)


def labels(labelling: Labelling) -> np.ndarray:
    return read_labels(PhantomSite("x", labelling=labelling), CASES, 0)


def column(values: np.ndarray, task: str) -> np.ndarray:
    return values[:, PHANTOM_TASKS.index(task)]


def assert_only_changed(values: np.ndarray, task: str) -> None:
    index = PHANTOM_TASKS.index(task)
    np.testing.assert_array_equal(np.delete(values, index, axis=1), np.delete(TRUTH, index, axis=1))


def test_an_exact_reader_of_the_reference_writes_the_truth():
    np.testing.assert_array_equal(labels(EXACT), TRUTH)


def test_cardiomegaly_follows_the_threshold_of_the_ratio():
    values = labels(Labelling(cardiothoracic_threshold=0.56, reading_error=0))
    np.testing.assert_array_equal(column(values, "Cardiomegaly"), CASES.size_of("Cardiomegaly") > 0.56)
    assert_only_changed(values, "Cardiomegaly")
    assert 0 < column(values, "Cardiomegaly").sum() < column(TRUTH, "Cardiomegaly").sum()


def test_reading_error_is_normal_about_the_ratio():
    ratio = CASES.size_of("Cardiomegaly")
    for error in (0.015, 0.05):
        values = column(labels(Labelling(reading_error=error)), "Cardiomegaly")
        chance = norm.cdf((ratio - 0.5) / error)
        assert abs(values.sum() - chance.sum()) < 4 * np.sqrt((chance * (1 - chance)).sum())
        wrong = values != column(TRUTH, "Cardiomegaly")
        assert wrong.sum() > 0
        assert np.abs(ratio[wrong] - 0.5).max() < 4 * error


def test_an_inverted_task_has_the_opposite_labels():
    values = labels(Labelling(reading_error=0, inverted=("Mass",)))
    np.testing.assert_array_equal(column(values, "Mass"), 1 - column(TRUTH, "Mass"))
    assert_only_changed(values, "Mass")


def test_a_redefined_task_has_the_labels_of_the_other_finding():
    values = labels(Labelling(reading_error=0, redefined={"Infiltration": "Reticular_Pattern"}))
    pattern = CASES.present[:, FINDINGS.index("Reticular_Pattern")]
    np.testing.assert_array_equal(column(values, "Infiltration"), pattern)
    assert_only_changed(values, "Infiltration")


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1.0])
def test_a_share_of_both_classes_is_flipped(fraction):
    values = labels(Labelling(reading_error=0, flipped={"Atelectasis": fraction}))
    assert_only_changed(values, "Atelectasis")
    truth = column(TRUTH, "Atelectasis")
    flipped = column(values, "Atelectasis") != truth
    for group in (flipped[truth == 1], flipped[truth == 0]):
        low, high = binom.interval(0.9999, len(group), fraction)
        assert low <= group.sum() <= high


def test_an_unlabelled_task_has_no_label():
    values = labels(Labelling(reading_error=0, unlabelled=("Nodule",)))
    assert np.isnan(column(values, "Nodule")).all()
    assert_only_changed(values, "Nodule")
