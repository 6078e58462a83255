"""Reads of a small site, image by image: estimate, error and interval, strata, and how reads are allotted."""

import numpy as np
import pytest
from scipy.stats import t
from sklearn.metrics import roc_auc_score

from xray.stats import reread_design
from xray.stats.reread_design import Design, Placed, draw, guesses, placed, plan
from xray.stats.rereads import (
    FEW_READS,
    NO_POSITIVES,
    Measured,
    _among,
    _auc,
    expected_se,
    measure,
    pooled,
    totals,
)


def site(n=60, seed=3):
    """Scores with ties, labels, patients of one to three images, and what others say of each image."""
    rng = np.random.default_rng(seed)
    severity = rng.normal(size=n)
    labels = (severity + 0.5 * rng.normal(size=n) > 0.3).astype(float)
    again = np.where(rng.random(n) < 0.25, 1 - labels, labels)
    patients = np.sort(rng.integers(0, n // 2, n))
    return np.round(severity + 0.5 * rng.normal(size=n), 1), labels, patients, again


def read_site(seed=3, single=False):
    """single: one image that was read, and contradicted, is a stratum of its own."""
    scores, labels, patients, again = site(seed=seed)
    labels[5] = np.nan
    scores[9] = np.nan
    design = plan(scores, labels, 30)
    read = draw(design, np.random.default_rng(1))
    calls = again[read].copy()
    calls[3] = np.nan
    if single:
        at = np.flatnonzero(calls == 1 - labels[read])[0]
        stratum = design.stratum.copy()
        stratum[read[at]] = design.sizes.size
        own = design.stratum[read[at]] == np.arange(design.sizes.size)
        design = Design(stratum, np.append(design.sizes - own, 1), np.append(design.reads - own, 1))
    return scores, labels, patients, design, read, calls


def share_above(scores, weights, x):
    """Weighted share of scores above x, ties half."""
    return ((scores > x) @ weights + 0.5 * (scores == x) @ weights) / weights.sum()


@pytest.mark.parametrize("single", [False, True])
def test_a_measure_equals_a_hand_computation_from_its_images(single):
    scores, labels, patients, design, read, calls = read_site(single=single)
    of = measure(scores, labels, patients, design, read, calls)
    replies = [(i, call) for i, call in zip(read, calls, strict=True) if not np.isnan(call)]
    usable = [i for i in range(60) if np.isfinite(scores[i] + labels[i])]
    x, y = scores[usable], labels[usable]
    stratum = {i: design.stratum[i] for i in usable}
    size = {h: sum(stratum[i] == h for i in usable) for h in set(stratum.values())}
    n = {h: sum(stratum[i] == h for i, _ in replies) for h in size}
    assert of.reads == len(replies) == 29
    u, pairs, positives = totals(
        x, y, np.array([usable.index(i) for i, _ in replies]), np.array([call - labels[i] for i, call in replies]),
        np.array([stratum[i] for i in usable]), np.array(list(size.values())), np.array(list(n.values())),
    )  # fmt: skip
    auc = u / pairs
    assert of.difference == pytest.approx(auc - roc_auc_score(y, x))
    assert of.ratio == pytest.approx(np.log(positives / y.sum()))
    lost = sum(size[stratum[i]] / n[stratum[i]] for i, call in replies if labels[i] == 1 and call == 0)
    assert of.lost == pytest.approx(lost / y.sum())

    # where scores lie among positives and negatives as the others call them
    moved = {i: (call - labels[i]) * size[stratum[i]] / n[stratum[i]] for i, call in replies}
    yes = np.array([labels[i] + moved.get(i, 0) for i in usable])
    assert positives == pytest.approx(yes.sum())
    below = {i: np.clip(1 - share_above(x, 1 - yes, scores[i]), 0, 1) for i in usable}
    above = {i: np.clip(share_above(x, yes, scores[i]), 0, 1) for i in usable}
    p, q = positives, len(usable) - positives
    gain = {i: (below[i] - auc) / p - (above[i] - auc) / q for i in usable}

    # chances of a contradiction: guesses, as each class bears them out, shrunk within strata by two reads
    guess = dict(zip(usable, guesses(y, placed(x, y, 1 - y)), strict=True))
    rate = {}
    for value in (0, 1):
        of_class = [(i, call) for i, call in replies if labels[i] == value]
        times = (sum(call != labels[i] for i, call in of_class) + 0.5) / (
            sum(guess[i] for i, _ in of_class) + 0.5
        )
        guess |= {i: min(guess[i] * times, 0.5) for i in usable if labels[i] == value}
    for h in size:
        mean = np.mean([guess[i] for i in usable if stratum[i] == h])
        changed = sum(call != labels[i] for i, call in replies if stratum[i] == h)
        rate[h] = (changed + 2 * mean) / (n[h] + 2)

    # patients, and reads of strata
    own = placed(x, y, 1 - y)
    drift = {
        h: sum(gain[i] * (call - labels[i]) for i, call in replies if stratum[i] == h) / n[h] for h in size
    }
    influence = []
    for at, i in enumerate(usable):
        before = (below[i] - auc) / p if labels[i] else (above[i] - auc) / q
        after = (
            (own.below[at] - own.auc) / own.positives
            if labels[i]
            else (own.above[at] - own.auc) / own.negatives
        )
        influence.append(before - after + drift[stratum[i]])
    rest = np.array(influence) - np.mean(influence)
    patient_ids = patients[usable]
    of_patients = sum(rest[patient_ids == patient].sum() ** 2 for patient in set(patient_ids))
    images = np.array([(patient_ids == patient).sum() for patient in set(patient_ids)])
    clustered = (images**2).sum() / images.sum()
    parts = {}
    for h in size:
        g = np.array([gain[i] for i in usable if stratum[i] == h])
        spread = (g**2 * rate[h]).mean() - (g * rate[h]).mean() ** 2
        parts[h] = (size[h] ** 2 * (1 - n[h] / size[h]) / n[h] + size[h] * clustered) * spread
    variance = of_patients + sum(parts.values())
    slack = sum(part**2 / (n[h] + 1) for h, part in parts.items()) + of_patients**2 / (images.size - 1)
    assert of.se == pytest.approx(np.sqrt(variance), rel=1e-6)
    half = t.ppf(0.975, variance**2 / slack) * of.se
    assert (of.lower, of.upper) == pytest.approx((of.difference - half, of.difference + half))
    spread = sum(size[h] ** 2 / n[h] * rate[h] * (1 - rate[h]) for h in size)
    assert of.ratio_se == pytest.approx(np.sqrt(spread) / positives)


@pytest.mark.parametrize("single", [False, True])
def test_the_expected_error_follows_from_the_guessed_contradictions(single):
    scores, labels, _, design, _, _ = read_site(single=single)
    usable = np.flatnonzero(design.stratum >= 0)
    at = placed(scores[usable], labels[usable], 1 - labels[usable])
    guess, h = guesses(labels[usable], at), design.stratum[usable]
    variance = sum(
        size**2 / reads * np.mean(at.influence[h == k] ** 2 * guess[h == k])
        for k, (size, reads) in enumerate(zip(design.sizes, design.reads, strict=True))
    )
    assert expected_se(scores, labels, design) == pytest.approx(np.sqrt(variance))


def test_a_stratum_needs_two_reads_unless_it_has_one_image():
    scores, labels, patients, again = site()
    stratum = labels.astype(np.int64)
    stratum[0] = 2
    sizes = np.bincount(stratum)
    design = Design(stratum, sizes, np.array([2, 2, 1]))
    read = np.r_[0, np.flatnonzero(stratum == 0)[:2], np.flatnonzero(stratum == 1)[:2]]
    assert measure(scores, labels, patients, design, read, again[read]).reason == ""
    assert measure(scores, labels, patients, design, read[:-1], again[read[:-1]]).reason == FEW_READS
    assert np.isnan(measure(scores, labels, patients, design, read[:-1], again[read[:-1]]).se)


@pytest.mark.parametrize(("left", "defined"), [(0, False), (1, True), (59, True), (60, False)])
def test_without_both_classes_among_the_reads_there_is_no_auc(left, defined):
    scores, labels, patients, _ = site()
    design = plan(scores, labels, 60)
    read = np.arange(60)
    of = measure(scores, labels, patients, design, read, (np.arange(60) < left).astype(float))
    assert (of.reason == "") == defined
    assert defined or of.reason == NO_POSITIVES


def measured(difference, se, ratio, ratio_se, lost, reads, half):
    return Measured(difference, se, difference - half, difference + half, ratio, ratio_se, lost, reads)


def test_samples_are_pooled_by_their_precision():
    one, two = (
        measured(0.05, 0.01, 0.2, 0.1, 0.3, 100, 0.024),
        measured(0.08, 0.02, 0.5, 0.05, 0.1, 300, 0.041),
    )
    of = pooled([one, two])
    assert of.difference == pytest.approx((0.05 * 4 + 0.08) / 5)
    assert of.ratio == pytest.approx((0.2 + 0.5 * 4) / 5)
    assert (of.se, of.ratio_se) == pytest.approx((1 / np.sqrt(12500), 1 / np.sqrt(500)))
    half = 1 / np.sqrt(0.024**-2 + 0.041**-2)
    assert (of.lower, of.upper) == pytest.approx((of.difference - half, of.difference + half))
    assert of.lost == pytest.approx(0.15)
    assert of.reads == 400


def test_a_guess_depends_on_the_other_class_and_is_at_most_a_half():
    scores, labels, _, _ = site()
    at = placed(scores, labels, 1 - labels)
    for value, placement, rate in (
        (0, at.below**3, labels.sum() / (1 - labels).sum()),
        (1, at.above**3, 1.0),
    ):
        own = labels == value
        # images of the class are likelier to be contradicted where the other class lies
        expected = 0.2 * rate * (0.5 + 0.5 * placement[own] / placement[own].mean())
        np.testing.assert_allclose(guesses(labels, at)[own], np.minimum(expected, 0.5))
    far = Placed(np.r_[np.zeros(50), 1.0, 0.0], np.ones(52), 0.5, 25.0, 26.0)
    assert guesses(np.r_[np.zeros(51), 1.0], far)[50] == 0.5


def test_strata_are_ordered_by_score_and_have_similar_worth():
    scores, labels, _, _ = site(n=400)
    design = plan(scores, labels, 130)
    at = placed(scores, labels, 1 - labels)
    worth = np.sqrt(guesses(labels, at)) * np.hypot(at.influence, 0.075 / labels.sum())
    share = worth[labels == 1].sum() / worth.sum()
    counts = [len(set(design.stratum[labels == value])) for value in (1, 0)]
    assert counts == [round(10 * share), 10 - round(10 * share)]
    for value, count in zip((1, 0), counts, strict=True):
        own = np.flatnonzero(labels == value)
        order = own[np.argsort(scores[own], kind="stable")]
        position = (np.cumsum(worth[order]) - worth[order] / 2) / worth[order].sum()
        expected = np.floor(position * count)
        _, first = np.unique(design.stratum[order], return_inverse=True)
        np.testing.assert_array_equal(first, expected)


@pytest.mark.parametrize("rare", [0, 1])
def test_every_class_has_at_least_two_strata(rare):
    n = 3000
    rng = np.random.default_rng(0)
    labels = np.r_[np.full(12, rare), np.full(n - 12, 1 - rare)].astype(float)
    scores = rng.normal(size=n) + 4 * labels
    design = plan(scores, labels, 48)
    strata = [len(set(design.stratum[labels == value])) for value in (rare, 1 - rare)]
    assert min(strata) == 2
    assert design.reads.sum() == 48


def test_a_stratum_of_one_image_is_merged_with_its_neighbour():
    labels = np.r_[np.ones(12), np.zeros(40)]
    scores = np.r_[-30.0, np.linspace(2, 3, 11), np.linspace(-1, 1, 40)]
    design = plan(scores, labels, 52)
    assert design.sizes.min() >= 2
    assert (design.reads == design.sizes).all()


def test_reads_that_exceed_a_stratum_go_to_the_others():
    scores, labels, _, _ = site(n=100)
    for budget in (20, 50, 90, 99, 100, 500):
        design = plan(scores, labels, budget)
        assert design.reads.sum() == min(budget, 100)
        assert (design.reads <= design.sizes).all()
        assert (design.reads >= np.minimum(2, design.sizes)).all()


def test_reads_are_allotted_by_share_among_strata_that_have_room():
    share, sizes = np.array([0.1, 0.2, 0.3, 0.4]), np.array([100, 100, 5, 40])
    # two each; the rest by share; the third has room for three of its ten, whose others go to those with room, by share
    assert reread_design._allot(share, sizes, 40).tolist() == [6, 10, 5, 19]
    assert reread_design._allot(share, sizes, 8 + 10).tolist() == [3, 4, 5, 6]
    assert reread_design._allot(share, sizes, 245).tolist() == sizes.tolist()
    # of what is no whole read, the largest rests
    assert reread_design._allot(share, sizes, 9).tolist() == [2, 2, 2, 3]
    assert reread_design._allot(share, sizes, 10).tolist() == [2, 2, 3, 3]


@pytest.mark.parametrize("budget", [1, 5, 7])
def test_a_stratum_has_two_reads_whatever_the_budget(budget):
    assert reread_design._allot(np.full(4, 0.25), np.array([9, 9, 9, 1]), budget).tolist() == [2, 2, 2, 1]


@pytest.mark.parametrize("value", [0, 1])
def test_ten_of_a_class_are_enough(value):
    scores = site(n=100)[0]
    for count in (9, 10):
        few = np.full(100, 1.0 - value)
        few[:count] = value
        assert (plan(scores, few, 40) is not None) == (count == 10)


def test_estimated_shares_and_aucs_are_kept_between_nought_and_one():
    """Weights of reads may call a positive more than once, so that a class has a weight below nought."""
    positive, negative = np.array([-1, 1.5, 1.5, -0.5]), np.array([-0.5, 1.5, 1.5, -1])
    at = _among(np.arange(4.0), positive, negative, 0.7, 2.5)
    assert (at.below.min(), at.below.max(), at.above.min(), at.above.max()) == (0, 1, 0, 1)
    assert (at.auc, at.positives, at.negatives) == (0.7, 2.5, 1.5)


def auc_of_reads(labels, read, again, n):
    """Scores ascend; one stratum, of which n images were read."""
    labels, at = np.array(labels, dtype=float), np.array(read)
    stratum, sizes = np.zeros(labels.size, dtype=np.int64), np.array([labels.size])
    return _auc(
        np.arange(labels.size), labels, at, np.array(again) - labels[at], stratum, sizes, np.array([n])
    )


def test_images_of_one_patient_have_the_error_of_their_reads_alone():
    scores, labels, patients, design, read, calls = read_site()
    one = measure(scores, labels, np.zeros_like(patients), design, read, calls)
    several = measure(scores, labels, patients, design, read, calls)
    assert one.difference == several.difference
    assert np.isfinite([one.se, one.lower, one.upper]).all()


def test_an_auc_wants_a_whole_positive_and_a_whole_negative():
    """A read stands for one and a half images."""
    assert auc_of_reads([0, 1, 1], [1, 2], [0, 1], 2) == (pytest.approx(np.nan, nan_ok=True), 0.5)
    assert auc_of_reads([0, 0, 1], [0, 1], [1, 0], 2) == (pytest.approx(np.nan, nan_ok=True), 2.5)


def test_an_estimated_auc_above_one_is_one():
    """The images with the highest scores are positive; the read one of the others stands for two."""
    assert auc_of_reads([0, 0, 0, 1, 1, 0], [0, 3, 5], [0, 1, 1], 3) == (1.0, 4.0)


@pytest.mark.parametrize(
    ("weight", "sizes"),
    [
        ([10, 10, 10 / 3, 10 / 3, 10 / 3], [2, 3]),  # a bin of one image joins the stratum before it
        ([10, 5, 5, 10 / 3, 10 / 3, 10 / 3], [1, 2, 3]),  # the first has none before it
        ([5, 5, 10, 10 / 3, 10 / 3, 10 / 3], [3, 3]),
        ([20, 5, 5], [1, 2]),  # a bin that holds nothing is no stratum
    ],
)
def test_strata_are_bins_of_equal_weight_and_two_images_at_least_but_the_first(weight, sizes):
    order = np.random.default_rng(0).permutation(len(weight))
    scores, of_images = np.arange(len(weight), dtype=float)[order], np.array(weight, dtype=float)[order]
    stratum, count = reread_design._cut(scores, of_images, 3)
    assert count == len(sizes)
    np.testing.assert_array_equal(stratum[np.argsort(scores)], np.repeat(np.arange(count), sizes))
