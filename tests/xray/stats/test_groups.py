import numpy as np
import pytest

from xray.stats.clustered import clustered_auc_interval
from xray.stats.delong import auc_interval
from xray.stats.estimates import DEFINED, FEW_NEGATIVES
from xray.stats.groups import auc_by_group


def draw(n=240, digits=1):
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 4)) < [0.3, 0.5, 0.01, 0.4]).astype(float)
    labels[rng.random((n, 4)) < 0.1] = np.nan
    scores = np.round(np.nan_to_num(labels) + rng.normal(size=labels.shape), digits)
    scores[5, 0] = np.nan
    labels[:, 3] = np.where(labels[:, 3] >= 0, scores[:, 3] > 0.8, np.nan)  # perfectly separated
    return labels, scores, rng.integers(0, 3, n), rng.integers(0, n // 3, n)


@pytest.mark.parametrize("clustered", [True, False])
def test_every_group_and_its_rest_equal_a_separate_computation(clustered):
    labels, scores, group, patients = draw()
    group[group == 2] = np.where(np.arange((group == 2).sum()) < 3, 2, 3)  # a group of three images
    units = patients if clustered else np.arange(len(labels))
    *by_group, counts = auc_by_group(labels, scores, group, 4, units, clustered)
    for estimates, is_rest in zip(by_group, (False, True), strict=True):
        for index in range(4):
            part = (group == index) != is_rest
            usable = part[:, None] & ~np.isnan(labels) & ~np.isnan(scores)
            for column in range(4):
                if np.unique(labels[usable[:, column], column]).size < 2:
                    continue
                for row, value in enumerate((1, 0)):
                    of_class = units[usable[:, column] & (labels[:, column] == value)]
                    assert counts[int(is_rest), row, index, column] == np.unique(of_class).size
            alone = (
                clustered_auc_interval(labels[part], scores[part], units[part])
                if clustered
                else auc_interval(labels[part], scores[part])
            )
            for name in ("value", "lower", "upper", "se", "n", "n_pos"):
                np.testing.assert_allclose(
                    getattr(estimates, name)[index],
                    getattr(alone, name),
                    atol=1e-12,
                    err_msg=f"{name} {index}",
                )
            assert estimates.reason[index].tolist() == alone.reason.tolist()


def test_undefined_groups_have_a_reason():
    labels, scores, group, patients = draw()
    own, *_ = auc_by_group(labels, scores, group, 4, patients)
    assert own.reason[3].tolist() == ["no image with label and score"] * 4
    assert np.isnan(own.value[3]).all()


def test_a_group_needs_two_of_each_class():
    labels, scores = np.array([1.0, 1, 0, 0, 1, 1, 0]), np.array([0.9, 0.3, 0.5, 0.1, 0.8, 0.7, 0.2])
    group = np.array([0, 0, 0, 0, 1, 1, 1])
    own, _, _ = auc_by_group(labels, scores[:, None], group, 2, np.arange(7), clustered=False)
    assert [str(reason) for reason in own.reason[:, 0]] == [DEFINED, FEW_NEGATIVES]


def test_one_infinite_score_leaves_its_column_undefined_in_every_group():
    labels, scores = np.tile([1.0, 0], 12), np.random.default_rng(0).normal(size=(24, 2))
    scores[3, 0] = np.inf
    own, rest, _ = auc_by_group(labels, scores, np.arange(24) // 12, 2, np.arange(24))
    for estimates in (own, rest):
        assert np.isnan(estimates.value[:, 0]).all()
        assert not np.isnan(estimates.value[:, 1]).any()


@pytest.mark.parametrize("clustered", [True, False])
def test_of_two_groups_each_is_the_rest_of_the_other(clustered):
    labels, scores, group, patients = draw()
    units = patients if clustered else np.arange(len(labels))
    inside, rest, counts = auc_by_group(labels, scores, group % 2, 2, units, clustered)
    for name in ("value", "lower", "upper", "se", "n", "n_pos"):
        np.testing.assert_array_equal(getattr(rest, name), getattr(inside, name)[::-1], err_msg=name)
    np.testing.assert_array_equal(counts[1], counts[0][:, ::-1])
    assert (inside.value[0, :2] != inside.value[1, :2]).all()
    of_first = (group % 2 == 0) & ~np.isnan(labels[:, 0]) & ~np.isnan(scores[:, 0])
    assert inside.n[0, 0] == of_first.sum()


def test_patients_may_be_named_by_anything():
    rng = np.random.default_rng(9)
    labels, scores, group = rng.integers(0, 2, 60).astype(float), rng.random((60, 1)), rng.integers(0, 3, 60)
    patients = rng.integers(0, 25, 60)
    expected = auc_by_group(labels, scores, group, 3, patients)[0]
    for names in (patients - 40, patients * 1000, np.array([f"p{k:02}" for k in patients])):
        np.testing.assert_array_equal(auc_by_group(labels, scores, group, 3, names)[0].lower, expected.lower)
