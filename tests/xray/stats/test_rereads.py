"""Reads of a planned sample: the estimate against scikit-learn and against all samples of a small population."""

from itertools import combinations, pairwise, product

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from xray.stats.reread_design import Design, draw, guesses, importance, placed, plan
from xray.stats.rereads import FEW_READS, NO_POSITIVES, expected_se, measure, pooled, totals

N = 600


def site(
    seed: int, flipped: float = 0.2, called_from: float = 1.0, n: int = N
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores (with ties), labels, patients of two images each, and labels by other rules."""
    rng = np.random.default_rng(seed)
    severity = rng.normal(size=n)
    labels = (severity + 0.3 * rng.normal(size=n) > called_from).astype(float)
    again = (severity + 0.3 * rng.normal(size=n) > called_from).astype(float)
    again = np.where(rng.random(n) < flipped * again, 0, again)
    return np.round(severity + 0.7 * rng.normal(size=n), 1), labels, np.arange(n) // 2, again


def test_rereading_every_image_gives_the_exact_difference_of_aucs() -> None:
    scores, labels, patients, again = site(1)
    design = plan(scores, labels, N)
    assert design is not None
    everyone = np.random.default_rng(0).permutation(N)
    whole = measure(scores, labels, patients, design, everyone, again[everyone])
    assert whole.difference == pytest.approx(
        roc_auc_score(again, scores) - roc_auc_score(labels, scores), abs=1e-12
    )
    assert whole.ratio == pytest.approx(np.log(again.sum() / labels.sum()), abs=1e-12)
    assert whole.lost == pytest.approx(((labels == 1) & (again == 0)).sum() / labels.sum(), abs=1e-12)


def test_totals_are_unbiased_over_all_samples() -> None:
    """Strata of 4, 3 and 3 images, two of each read: 54 samples, whose mean is the truth."""
    scores = np.array([3.0, 2, 2, 5, 4, 1, 2, 6, 3, 0])
    labels = np.array([1.0, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    again = np.array([0.0, 1, 0, 1, 1, 0, 1, 0, 1, 0])
    stratum = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    sizes, n = np.array([4, 3, 3]), np.array([2, 2, 2])
    members = [np.flatnonzero(stratum == h) for h in range(3)]
    sums = []
    for sample in product(*(combinations(of, 2) for of in members)):
        at = np.concatenate(sample)
        sums.append(totals(scores, labels, at, again[at] - labels[at], stratum, sizes, n))
    positives = again.sum()
    pairs = positives * (again.size - positives)
    truth = roc_auc_score(again, scores) * pairs, pairs, positives
    assert np.mean(sums, axis=0) == pytest.approx(truth, abs=1e-12)


def test_intervals_cover_in_samples_of_one_site() -> None:
    """With patients fixed, the interval, which is of all patients, holds rather more than 95 %; and little more."""
    scores, labels, patients, again = site(2)
    truth = roc_auc_score(again, scores) - roc_auc_score(labels, scores)
    design = plan(scores, labels, 150)
    assert design is not None
    rng = np.random.default_rng(3)
    covered, values, widths = 0, [], []
    for _ in range(400):
        read = draw(design, rng)
        of = measure(scores, labels, patients, design, read, again[read])
        covered += of.lower <= truth <= of.upper
        values.append(of.difference)
        widths.append(of.se)
    assert 0.93 <= covered / 400 <= 0.995
    assert np.mean(values) == pytest.approx(truth, abs=0.005)
    assert 0.9 < np.mean(widths) / np.std(values) < 1.6


def test_a_plan_spends_the_budget_in_strata_of_one_class() -> None:
    scores, labels, _, _ = site(4)
    labels[:10] = np.nan
    design = plan(scores, labels, 100)
    assert design is not None
    assert design.reads.sum() == 100
    assert (design.reads >= 2).all()
    assert (design.reads <= design.sizes).all()
    assert (design.stratum[:10] == -1).all()
    assert sorted(draw(design, np.random.default_rng(1))) == sorted(draw(design, np.random.default_rng(1)))
    mixed = {tuple(sorted(set(labels[design.stratum == h]))) for h in range(design.sizes.size)}
    assert mixed == {(0.0,), (1.0,)}


def test_a_plan_is_more_precise_than_a_simple_random_sample() -> None:
    n = 4000
    scores, labels, patients, again = site(10, called_from=1.7, n=n)
    truth = roc_auc_score(again, scores) - roc_auc_score(labels, scores)
    own_plan = plan(scores, labels, 150)
    assert own_plan is not None
    by_chance = Design(np.zeros(n, dtype=np.int64), np.array([n]), np.array([150]))
    rng, errors = np.random.default_rng(0), []
    for design in (own_plan, by_chance):
        reads = [draw(design, rng) for _ in range(100)]
        values = [measure(scores, labels, patients, design, read, again[read]).difference for read in reads]
        errors.append(np.nanmedian(np.abs(np.array(values) - truth)))
    assert errors[0] < 0.85 * errors[1]


def test_more_reads_have_a_smaller_expected_error() -> None:
    scores, labels, _, _ = site(5)
    errors = []
    for budget in (50, 100, 200, 400):
        design = plan(scores, labels, budget)
        assert design is not None
        errors.append(expected_se(scores, labels, design))
    assert all(1.2 < one / two < 1.9 for one, two in pairwise(errors))


def test_a_class_of_few_images_gets_no_plan() -> None:
    scores, labels, _, _ = site(6)
    labels[:] = 0
    labels[:9] = 1
    assert plan(scores, labels, 100) is None
    labels[:10] = 1
    assert plan(scores, labels, 100) is not None


def test_reads_that_confirm_every_label_leave_an_error() -> None:
    scores, labels, patients, _ = site(7)
    design = plan(scores, labels, 100)
    assert design is not None
    read = draw(design, np.random.default_rng(0))
    of = measure(scores, labels, patients, design, read, labels[read])
    assert of.difference == 0
    assert of.lower < -0.005
    assert of.upper > 0.005


def test_missing_answers_raise_the_weight_of_others_in_their_stratum() -> None:
    scores, labels, patients, again = site(8)
    design = plan(scores, labels, 200)
    assert design is not None
    read = draw(design, np.random.default_rng(0))
    calls = again[read]
    calls[::4] = np.nan
    some, every = (measure(scores, labels, patients, design, read, of) for of in (calls, again[read]))
    assert some.reads == np.isfinite(calls).sum()
    assert some.se > every.se
    assert abs(some.difference - every.difference) < 3 * some.se
    calls[design.stratum[read] == 0] = np.nan
    assert measure(scores, labels, patients, design, read, calls).reason == FEW_READS
    assert measure(scores, labels, patients, design, read[:0], calls[:0]).reason != ""
    none = measure(
        scores,
        labels,
        patients,
        Design(np.zeros(N, int), np.array([N]), np.array([N])),
        np.arange(N),
        0 * labels,
    )
    assert none.reason == NO_POSITIVES


def test_placements_of_scores_equal_scikit_learn() -> None:
    scores, labels, _, _ = site(9)
    at = placed(scores, labels, 1 - labels)
    assert at.auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    flipped = labels.copy()
    negative = int(np.flatnonzero(labels == 0)[0])
    flipped[negative] = 1
    moved = roc_auc_score(flipped, scores) - at.auc
    assert moved == pytest.approx(float(at.influence[negative]), rel=0.05, abs=2e-4)


def test_two_pooled_samples_are_more_precise_and_one_alone_is_unchanged() -> None:
    scores, labels, patients, again = site(11)
    parts = []
    for seed in (0, 1):
        design = plan(scores, labels, 100)
        assert design is not None
        read = draw(design, np.random.default_rng(seed))
        parts.append(measure(scores, labels, patients, design, read, again[read]))
    both = pooled(parts)
    assert both.reads == 200
    assert both.se == pytest.approx((parts[0].se ** -2 + parts[1].se ** -2) ** -0.5)
    low, high = sorted(of.difference for of in parts)
    assert low <= both.difference <= high
    assert both.upper - both.lower < min(of.upper - of.lower for of in parts)
    nothing = measure(scores, labels, patients, design, read[:0], again[:0])
    assert pooled([nothing, parts[0]]) == parts[0]
    assert pooled([nothing]) is nothing


def test_a_fifth_of_the_positives_are_expected_to_be_contradicted_and_as_many_negatives() -> None:
    scores, labels, _, _ = site(12)
    guess = guesses(labels, placed(scores, labels, 1 - labels))
    assert guess[labels == 1].mean() == pytest.approx(0.2, abs=0.01)
    assert guess[labels == 0].sum() == pytest.approx(0.2 * labels.sum(), rel=1e-9)
    high = scores > np.median(scores)
    assert guess[(labels == 0) & high].mean() > guess[(labels == 0) & ~high].mean()
    assert guess[(labels == 1) & ~high].mean() > guess[(labels == 1) & high].mean()


def test_reads_are_allocated_by_their_effect_and_a_fifth_by_size() -> None:
    scores, labels, _, _ = site(13, called_from=1.7, n=4000)
    at = placed(scores, labels, 1 - labels)
    guess = guesses(labels, at)
    worth = np.sqrt(guess) * np.hypot(at.influence, 0.075 / labels.sum())
    assert importance(at, guess) == pytest.approx(worth)
    design = plan(scores, labels, 120)
    assert design is not None
    shares = 0.8 * np.bincount(design.stratum, worth) / worth.sum() + 0.2 * design.sizes / 4000
    assert design.reads == pytest.approx(2 + (120 - 2 * len(shares)) * shares, abs=1.01)


@pytest.mark.parametrize(("budget", "strata"), [(24, 4), (60, 5), (120, 10), (400, 16)])
def test_there_is_about_one_stratum_per_dozen_reads(budget: int, strata: int) -> None:
    scores, labels, _, _ = site(14)
    design = plan(scores, labels, budget)
    assert design is not None
    assert design.sizes.size == strata


def test_without_contradictions_the_error_is_that_of_the_class_shrunk_by_two_reads() -> None:
    """By hand, for patients of one image each."""
    scores, labels, _, _ = site(15)
    design = plan(scores, labels, 100)
    assert design is not None
    read = draw(design, np.random.default_rng(0))
    of = measure(scores, labels, np.arange(N), design, read, labels[read])
    at = placed(scores, labels, 1 - labels)
    guess = guesses(labels, at)
    variance = 0.0
    for value in (0, 1):
        borne_out = 0.5 / (guess[read][labels[read] == value].sum() + 0.5)
        for h in np.unique(design.stratum[labels == value]):
            own = np.flatnonzero(design.stratum == h)
            n, size = design.reads[h], design.sizes[h]
            rate = 2 * (guess[own] * borne_out).mean() / (n + 2)
            spread = rate * np.mean(at.influence[own] ** 2) - (rate * at.influence[own].mean()) ** 2
            variance += (size**2 * (1 - n / size) / n + size) * spread
    assert of.se == pytest.approx(np.sqrt(variance), rel=1e-6)
