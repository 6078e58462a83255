"""Prevalences implied by scores, and images that changed, in samples whose truth is known."""

import numpy as np
import pytest
from scipy.stats import f

from xray.stats.tilting import tilt
from xray.stats.transfer import SiteScores


def site(rng, n=3000, prevalence=(0.3, 0.2, 0.15), spread=1.0, offset=0.0, first=0) -> SiteScores:
    labels = (rng.random((n, 3)) < prevalence).astype(float)
    scores = 1.8 * labels + rng.normal(size=labels.shape)
    a, b = (spread * (scores + 0.5 * rng.normal(size=scores.shape)) + offset for _ in range(2))
    return SiteScores(labels, a, b, np.arange(n) + first)


TASKS = np.arange(3)


def test_p_is_uniform_where_only_prevalences_differ():
    rng = np.random.default_rng(0)
    values = [tilt(site(rng, 800), site(rng, 800, (0.15, 0.3, 0.15), first=10_000), TASKS) for _ in range(60)]
    rejected = np.mean([fit.p < 0.05 for fit in values])
    assert rejected < 0.12
    assert np.mean([fit.p_all < 0.05 for fit in values]) < 0.2
    hits = [abs(fit.implied - [0.15, 0.3, 0.15]) < 1.96 * fit.implied_se for fit in values]
    assert 0.88 < np.mean(hits) <= 1


def test_implied_prevalence_ignores_the_labels_of_b():
    rng = np.random.default_rng(1)
    a, b = site(rng), site(rng, prevalence=(0.1, 0.2, 0.15), first=10_000)
    tilting = tilt(a, b, TASKS)
    assert tilting.implied == pytest.approx([0.1, 0.2, 0.15], abs=0.03)
    assert np.abs(tilting.observed_gap / tilting.observed_gap_se).max() < 3
    assert tilting.a_gap[0] / tilting.a_gap_se[0] < -8
    relabelled = SiteScores(1 - b.labels, b.of_a, b.of_b, b.patients)
    again = tilt(a, relabelled, TASKS)
    assert again.implied == pytest.approx(tilting.implied)
    assert again.p == pytest.approx(tilting.p)
    assert (again.observed_gap / again.observed_gap_se < -10).all()


@pytest.mark.parametrize("spread", [0.6, 1.5])
def test_changed_images_are_detected(spread):
    rng = np.random.default_rng(2)
    tilting = tilt(site(rng), site(rng, spread=spread, first=10_000), TASKS)
    assert tilting.p_all < 1e-6
    assert (tilting.p < 1e-3).all()


def test_a_mere_offset_passes_for_prevalence():
    """The limit of the method: where all scores move alike, they look like scores of a site with more positives."""
    rng = np.random.default_rng(2)
    tilting = tilt(site(rng), site(rng, offset=1.0, first=10_000), TASKS)
    assert tilting.p_all > 0.01
    assert (tilting.implied > 0.5).all()


def test_images_of_one_patient_count_once():
    rng = np.random.default_rng(3)
    whole = site(rng, 600)
    a, b = site(rng, 600), whole
    six = [np.repeat(part, 6, axis=0) for part in (b.labels, b.of_a, b.of_b)]
    copied = SiteScores(*six, np.repeat(b.patients + 10_000, 6))
    once = tilt(a, SiteScores(b.labels, b.of_a, b.of_b, b.patients + 10_000), TASKS)
    assert tilt(a, copied, TASKS).implied_se == pytest.approx(once.implied_se, rel=1e-6)


def small(copies=(1, 2)):
    """Two sites of few images, B's of several a patient, with ties, and a label that is missing at A."""
    rng = np.random.default_rng(5)
    values = []
    for at, (n, times) in enumerate(zip((120, 70), copies, strict=True)):
        one = site(rng, n, (0.4, 0.3, 0.5), first=1000 * at)
        columns = [np.repeat(of, times, axis=0) for of in (one.labels, np.round(one.of_a, 1), one.of_b)]
        columns[0][4, 0] = np.nan
        values.append(SiteScores(*columns, np.repeat(one.patients, times)))
    return values


class ByWeights:
    """The fit as a function of how often each patient is counted: what one patient more changes is its influence.

    Labels of A are centred once, on the mean of all images.
    """

    def __init__(self, a, b, functions):
        self.a, self.b = a, b
        cuts = [np.quantile(of, q, axis=0) for of in (a.of_a, a.of_b) for q in ((0.1, 0.25, 0.5, 0.75, 0.9),)]
        self.h = [
            np.hstack([(x[:, [k]] > cut[:, k]) for x, cut in zip((of.of_a, of.of_b), cuts, strict=True) for k in TASKS])
            .astype(float)[:, functions] for of in (a, b)
        ]  # fmt: skip
        self.labels = np.nan_to_num(a.labels - np.nanmean(a.labels, axis=0))
        one = [np.ones(len(of.labels)) for of in (a, b)]
        gap, slopes, _ = self.parts(*one, 0)
        weights = one[0]
        for step in range(2):
            covariance = self.covariance(0, weights) + self.covariance(1, one[1])
            self.covariance_used = covariance + 1e-3 * np.trace(covariance) / len(gap) * np.eye(len(gap))
            inverse = np.linalg.inv(self.covariance_used)
            self.to_beta = np.linalg.solve(slopes.T @ inverse @ slopes, slopes.T @ inverse)
            beta = self.to_beta @ gap
            weights = 1 + self.labels @ beta
            self.first = beta if step == 0 else self.first  # what moments of A are weighted by
        self.beta, self.slopes, self.inverse, self.gap = beta, slopes, inverse, gap

    def covariance(self, at, weights):
        of = (self.a, self.b)[at]
        h = self.h[at] * weights[:, None]
        rest = h - h.mean(axis=0)
        sums = np.array([rest[of.patients == patient].sum(axis=0) for patient in np.unique(of.patients)])
        return sums.T @ sums / len(h) ** 2

    def parts(self, at_a, at_b, task):
        """Gap and slopes, and share and slope of the finding, with images counted by weight."""
        means = [np.average(h, axis=0, weights=w) for h, w in zip(self.h, (at_a, at_b), strict=True)]
        slopes = (self.h[0] * at_a[:, None]).T @ self.labels / at_a.sum()
        labelled = ~np.isnan(self.a.labels[:, task])
        y = np.where(labelled, self.a.labels[:, task], 0)
        share = at_a @ y / (at_a @ labelled)
        slope = (
            (at_a * (y - share * labelled)) @ self.labels / at_a.sum() / np.average(labelled, weights=at_a)
        )
        return means[1] - means[0], slopes, (share, slope)

    def values(self, at_a, at_b, task):
        """Implied prevalence, less the observed, less A's; the weights of the fit stay."""
        gap, slopes, (share, slope) = self.parts(at_a, at_b, task)
        beta = self.to_beta @ (gap - (slopes - self.slopes) @ self.first)
        labelled = ~np.isnan(self.b.labels[:, task])
        observed = np.average(self.b.labels[labelled, task], weights=at_b[labelled])
        implied = share + slope @ beta
        return np.array([implied, implied - observed, implied - share])

    def errors(self, task):
        """Standard errors by the infinitesimal jackknife: the sum of squares of each patient's influence."""
        total = np.zeros(3)
        for at, of in enumerate((self.a, self.b)):
            for patient in np.unique(of.patients):
                ends = []
                for sign in (1, -1):
                    weights = [np.ones(len(self.a.labels)), np.ones(len(self.b.labels))]
                    weights[at] = weights[at] + sign * 1e-5 * (of.patients == patient)
                    ends.append(self.values(*weights, task))
                total += ((ends[0] - ends[1]) / 2e-5) ** 2
        return np.sqrt(total)

    def p(self, units):
        """Hansen's J against F."""
        rest = self.gap - self.slopes @ self.beta
        df, left = len(self.gap) - len(TASKS), units - len(self.gap)
        return f.sf(rest @ self.inverse @ rest * left / (units * df), df, left)


def test_fits_and_errors_equal_those_of_weighted_patients():
    a, b = small()
    tilting = tilt(a, b, TASKS)
    of_task = np.tile(np.repeat(TASKS, 5), 2)
    assert tilting.p_all == pytest.approx(ByWeights(a, b, np.arange(30)).p(70), rel=1e-6)
    for task in TASKS:
        others = np.flatnonzero(of_task != task)[2::5]  # their medians
        fit = ByWeights(a, b, np.sort(np.r_[np.flatnonzero(of_task == task), others]))
        one = [np.ones(len(of.labels)) for of in (a, b)]
        values = tilting.implied[task], tilting.observed_gap[task], tilting.a_gap[task]
        errors = tilting.implied_se[task], tilting.observed_gap_se[task], tilting.a_gap_se[task]
        assert values == pytest.approx(fit.values(*one, task), rel=1e-6)
        assert errors == pytest.approx(fit.errors(task), rel=1e-3)
        assert tilting.p[task] == pytest.approx(fit.p(70), rel=1e-6)


@pytest.mark.parametrize(("patients", "defined"), [(30, False), (31, True)])
def test_all_scores_are_tested_together_where_patients_outnumber_functions(patients, defined):
    rng = np.random.default_rng(6)
    p = tilt(site(rng, 200, (0.5,) * 3), site(rng, patients, (0.5,) * 3, first=1000), TASKS)
    assert np.isfinite(p.p_all) == defined
    assert np.isfinite(p.p).all()
