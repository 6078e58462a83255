"""Prevalences implied by scores, and images that changed, in samples whose truth is known."""

import numpy as np
import pytest

from xray.stats.tilting import tilt
from xray.stats.transfer import SiteScores


def site(rng, n=3000, prevalence=(0.3, 0.2, 0.15), spread=1.0, offset=0.0, first=0) -> SiteScores:
    labels = (rng.random((n, 3)) < prevalence).astype(float)
    seen = 1.8 * labels + rng.normal(size=labels.shape)
    a, b = (spread * (seen + 0.5 * rng.normal(size=seen.shape)) + offset for _ in range(2))
    return SiteScores(labels, a, b, np.arange(n) + first)


TASKS = np.arange(3)


def test_p_is_uniform_where_only_prevalences_differ():
    rng = np.random.default_rng(0)
    values = [tilt(site(rng, 800), site(rng, 800, (0.15, 0.3, 0.15), first=10_000), TASKS) for _ in range(60)]
    rejected = np.mean([each.p < 0.05 for each in values])
    assert rejected < 0.12
    assert np.mean([each.p_all < 0.05 for each in values]) < 0.2
    hits = [abs(each.implied - [0.15, 0.3, 0.15]) < 1.96 * each.implied_se for each in values]
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
def test_changed_images_are_seen(spread):
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
