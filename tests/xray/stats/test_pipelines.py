"""What A's pictures through B's pipeline cost: paired differences, and which images are drawn."""

import numpy as np
import pytest
from scipy.stats import t
from sklearn.metrics import roc_auc_score

from benchmarks._strangers import draw_world
from xray.stats.comparisons import compare_paired
from xray.stats.delong import delong_covariance
from xray.stats.differences import least_variance
from xray.stats.estimates import FEW_PATIENTS, FEW_POSITIVES, ONE_CLASS, FloatArray, IntArray
from xray.stats.pipelines import draw, measure, representative

RNG = np.random.default_rng(7)
LABELS = (RNG.random(400) < 0.2).astype(float)
OWN = RNG.normal(size=400) + 1.5 * LABELS
PIPED = 0.7 * OWN + 0.8 * RNG.normal(size=400)
PATIENTS = np.arange(400)


def test_the_loss_is_the_difference_of_both_aucs() -> None:
    of = measure(LABELS, OWN, PIPED, PATIENTS)
    assert of.cost == pytest.approx(roc_auc_score(LABELS, OWN) - roc_auc_score(LABELS, PIPED), abs=1e-12)
    assert of.images == 400
    assert 0 < of.lower < of.cost < of.upper


def test_the_error_equals_delongs_for_one_image_per_patient() -> None:
    c = delong_covariance(LABELS, np.stack([OWN, PIPED])).covariance
    positives = int(LABELS.sum())
    expected = c[0, 0] + c[1, 1] - 2 * c[0, 1] + least_variance(positives, 400 - positives)
    assert measure(LABELS, OWN, PIPED, PATIENTS).se ** 2 == pytest.approx(float(expected))


def test_patients_are_the_units() -> None:
    """Every image four times is no more evidence, and is that of two models compared on the same images."""
    four = [np.tile(of, 4) for of in (LABELS, OWN, PIPED, PATIENTS)]
    once, more = measure(LABELS, OWN, PIPED, PATIENTS), measure(*four)
    assert more.cost == pytest.approx(once.cost)
    assert more.se == pytest.approx(once.se, rel=0.01)
    compared = compare_paired(four[0][:, None], four[1][:, None], four[2][:, None], patients=four[3])
    assert more.cost == pytest.approx(float(compared.difference[0]))
    assert (more.upper - more.lower) == pytest.approx(float(compared.upper[0] - compared.lower[0]), rel=0.05)


def test_images_without_a_score_or_label_do_not_count() -> None:
    some, labels = PIPED.copy(), LABELS.copy()
    some[::2], labels[1::4] = np.nan, np.nan
    usable = np.isfinite(some) & np.isfinite(labels)
    assert measure(labels, OWN, some, PATIENTS) == measure(
        labels[usable], OWN[usable], some[usable], PATIENTS[usable]
    )


def test_a_pipeline_without_effect_has_no_loss_but_an_error() -> None:
    of = measure(LABELS, OWN, OWN, PATIENTS)
    assert of.cost == 0
    assert of.lower < 0 < of.upper


@pytest.mark.parametrize(
    ("labels", "patients", "reason"),
    [
        (np.zeros(9), np.arange(9), ONE_CLASS),
        (np.r_[1, np.zeros(8)], np.arange(9), FEW_POSITIVES),
        (np.r_[1, 1, np.zeros(7)], np.r_[0, 0, np.arange(7)], FEW_PATIENTS),
    ],
)
def test_too_few_images_have_a_reason_and_no_value(
    labels: FloatArray, patients: IntArray, reason: str
) -> None:
    of = measure(labels, np.arange(9.0), np.arange(9.0)[::-1], patients)
    assert np.isnan([of.cost, of.se, of.lower, of.upper]).all()
    assert of.reason == reason


def test_equal_numbers_of_positives_and_negatives_are_drawn_at_random() -> None:
    images = draw(LABELS, 100, np.random.default_rng(0))
    assert (images.size, LABELS[images].sum()) == (100, 50)
    assert (np.diff(images) > 0).all()
    often = sum(np.bincount(draw(LABELS, 100, np.random.default_rng(n)), minlength=400) for n in range(400))
    shares = often / 400
    for value in (0, 1):
        expected = 50 / (value == LABELS).sum()
        assert shares[value == LABELS] == pytest.approx(expected, abs=0.13)


def test_the_other_class_fills_the_budget_when_one_is_too_small() -> None:
    labels = np.r_[np.ones(10), np.zeros(90), np.full(50, np.nan)]
    images = draw(labels, 60, np.random.default_rng(0))
    assert (images.size, labels[images].sum()) == (60, 10)
    assert draw(labels, 1000, np.random.default_rng(0)).tolist() == list(range(100))
    assert draw(labels, 61, np.random.default_rng(0)).size == 61


def test_a_drawn_sample_is_unbiased() -> None:
    whole = measure(LABELS, OWN, PIPED, PATIENTS).cost
    costs = []
    for n in range(300):
        images = draw(LABELS, 100, np.random.default_rng(n))
        costs.append(measure(LABELS[images], OWN[images], PIPED[images], PATIENTS[images]).cost)
    assert np.mean(costs) == pytest.approx(whole, abs=4 * np.std(costs) / np.sqrt(300))


def test_a_loss_by_the_pipeline_is_measured_when_pictures_differ() -> None:
    world = draw_world(300_103, ("noise, lost channels",))
    task = int(np.argmax(world.shares[:, 0]))
    of = measure(world.a.labels[:, task], world.a.scores[:, task], world.piped[:, task], world.a.patients)
    assert of.lower <= world.piped_cost[task] <= of.upper
    assert world.piped_cost[task] == pytest.approx(world.shares[task, 0], abs=0.05)
    same = draw_world(300_104, ("redefined",))
    assert np.abs(same.piped_cost).max() < 0.01


def test_a_sample_for_one_finding_is_no_sample_for_an_associated_one() -> None:
    rng = np.random.default_rng(3)
    one = (rng.random(3000) < 0.2).astype(float)
    same = np.where(rng.random(3000) < 0.6, one, rng.random(3000) < 0.2).astype(float)
    apart = (rng.random(3000) < 0.2).astype(float)
    labels = np.column_stack([one, same, apart])
    sampled = np.zeros(3000, dtype=np.bool_)
    sampled[draw(one, 300, rng)] = True
    assert [representative(labels, task, sampled) for task in range(3)] == [True, False, False]
    assert all(representative(labels, task, np.ones(3000, dtype=np.bool_)) for task in range(3))
    by_chance = np.isin(np.arange(3000), rng.choice(3000, 600, replace=False))
    assert all(representative(labels, task, by_chance) for task in range(3))


def test_the_interval_uses_students_t_with_the_patients_of_the_rarer_class() -> None:
    for labels, rarer in ((LABELS, int(LABELS.sum())), (1 - LABELS, int(LABELS.sum()))):
        some = np.r_[np.flatnonzero(labels == 1)[:9], np.flatnonzero(labels == 0)[:7], 0]
        of = measure(labels[some], OWN[some], PIPED[some], np.arange(some.size))
        units = min((labels[some] == value).sum() for value in (0, 1))
        assert units < rarer
        if of.lower > -1:
            assert of.cost - of.lower == pytest.approx(t.ppf(0.975, units - 1) * of.se)
        if of.upper < 1:
            assert of.upper - of.cost == pytest.approx(t.ppf(0.975, units - 1) * of.se)
        assert of.lower > -1 or of.upper < 1


@pytest.mark.parametrize(
    ("images", "n_sampled", "positives", "among", "like"),
    [
        (100, 20, 50, 18, True),  # .40 beyond one half, 3.98 standard errors
        (100, 20, 50, 19, False),
        (
            20,
            7,
            8,
            7,
            True,
        ),  # 3.92 standard errors of a sample without replacement, 4.02 of 20 images that were 21
        (21, 7, 8, 7, False),  # 4.03
        (40, 20, 0, 0, True),  # none has the other finding
        (40, 20, 40, 20, True),
    ],
)
def test_a_sample_differs_from_its_class_from_four_standard_errors(
    images, n_sampled, positives, among, like
) -> None:
    own = np.r_[np.ones(30), np.zeros(images)]
    sampled = np.r_[np.ones(30), np.arange(images) < n_sampled].astype(np.bool_)
    other = np.zeros(images)
    other[:among], other[n_sampled : n_sampled + positives - among] = 1, 1
    labels = np.column_stack([own, np.r_[np.zeros(30), other]])
    assert representative(labels, 0, sampled) == like
    assert representative(np.column_stack([1 - own, labels[:, 1]]), 0, sampled) == like


def test_a_class_that_was_not_drawn_is_not_called_unlike() -> None:
    labels = np.column_stack([np.r_[np.ones(10), np.zeros(90)], np.r_[np.zeros(50), np.ones(50)]])
    sampled = np.arange(100) < 10
    assert representative(labels, 0, sampled)


def test_images_without_a_label_of_the_finding_are_of_neither_class() -> None:
    """They are not drawn, and what else they have says nothing of those that are."""
    own = np.r_[np.tile([1.0, 0.0], 100), np.full(200, np.nan)]
    labels = np.column_stack([own, np.r_[np.zeros(200), np.ones(200)]])
    labels[:20, 1] = 1
    sampled = (np.arange(400) < 200) & (np.arange(400) % 4 < 2)
    assert representative(labels, 0, sampled)
