"""How findings go together: by labels, by scores, and with or without each other."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from xray.stats.accompanied import unaccompanied, within
from xray.stats.evidence import Site, gather
from xray.stats.part import Part
from xray.stats.transfer import Patients


def pair(seed, n=4000, by_other=(0.0, 0.0), among=0):
    """Scores of the first finding move by `by_other` at A and B where the second is there, among negatives or positives."""
    rng = np.random.default_rng(seed)
    sites = []
    for at, moved in enumerate(by_other):
        labels = (rng.random((n, 3)) < 0.3).astype(float)
        scores = 1.5 * labels + rng.normal(size=labels.shape)
        scores[:, 0] += moved * labels[:, 1] * (labels[:, 0] == among)
        sites.append(Site(labels, scores, np.arange(n) + n * at))
    return sites


@pytest.mark.parametrize(
    ("among", "shown", "still"), [(0, "negatives", "positives"), (1, "positives", "negatives")]
)
def test_another_finding_that_moves_scores_of_one_class_shows_there(among, shown, still):
    found = gather(*pair(0, by_other=(0.0, 0.8), among=among)).columns
    assert found[f"{shown} by labels"][0] > np.arcsinh(5)
    assert found[f"{shown} by labels mean"][0] > np.log(5) - 0.4
    assert found[f"{still} by labels"][0] < np.arcsinh(3.5)
    for other in (1, 2):
        assert found[f"{shown} by labels"][other] < np.arcsinh(3.5)


def test_what_both_sites_have_is_no_change():
    found = gather(*pair(1, by_other=(0.8, 0.8))).columns
    assert found["negatives by labels"][0] < np.arcsinh(3.5)


def test_changes_are_in_units_of_their_error():
    largest = [gather(*pair(seed, n=800)).columns["negatives by labels"] for seed in range(40)]
    z = np.sinh(np.array(largest))  # the larger of two standard normal deviates, by size
    assert np.mean(z > norm.isf(0.025)) == pytest.approx(1 - 0.95**2, abs=0.07)


def test_the_drop_alone_is_that_of_images_without_another_positive_label():
    a, b = pair(2, by_other=(0.0, 2.0))
    found = gather(a, b).columns
    for name, wanted in (("drop alone", False), ("drop accompanied", True)):
        values = []
        for site in (a, b):
            at = ((site.labels[:, 1] == 1) | (site.labels[:, 2] == 1)) == wanted
            values.append(roc_auc_score(site.labels[at, 0], site.scores[at, 0]))
        assert found[name][0] == pytest.approx(
            values[0] - values[1], abs=1e-4
        )  # beyond A's scores all are alike
    assert found["drop accompanied z"][0] > np.arcsinh(5)
    assert abs(found["drop alone z"][0]) < np.arcsinh(3)


def test_the_error_of_these_drops_is_at_least_theirs():  # a class's variance is taken as that of AUC 1/2, at most
    z = np.sinh(
        np.array([[gather(*pair(seed, n=800)).columns[f"drop {name} z"] for name in ("alone", "accompanied")]
                  for seed in range(40)])
    )  # fmt: skip
    assert 0.5 < z.std() < 1.1


def test_errors_and_means_are_those_computed_one_by_one():
    rng = np.random.default_rng(4)
    parts = []
    for n in (60, 80):  # so few that what is added to counts and variances shows
        labels = (rng.random((n, 3)) < 0.4).astype(float)
        labels[rng.random(labels.shape) < 0.05] = np.nan
        parts.append(Part(labels, rng.normal(size=labels.shape), Patients(np.arange(n) // 2), 2.0))
    found, alone = within(*parts), unaccompanied(*parts)
    for value, name in ((1, "positives"), (0, "negatives")):
        for k in range(3):
            z2 = []
            for j in {0, 1, 2} - {k}:
                gap, variance = [], 0.0
                for part in parts:
                    own, other = part.labels[:, k] == value, part.labels[:, j]
                    rest = part.scores[:, k] - part.scores[own, k].mean()
                    counts = [(own & (other == of)).sum() + 0.5 for of in (1, 0)]
                    sums = [rest[own & (other == of)].sum() for of in (1, 0)]
                    gap.append(sums[0] / counts[0] - sums[1] / counts[1])
                    variance += 2.0 * (part.scores[own, k].var() + 1e-3) * (1 / counts[0] + 1 / counts[1])
                z2.append((gap[1] - gap[0]) ** 2 / variance)
            assert found[f"{name} by labels"][k] == pytest.approx(np.arcsinh(np.sqrt(max(z2))))
            assert found[f"{name} by labels mean"][k] == pytest.approx(0.5 * np.log(np.mean(z2) + 0.1))
    for name, wanted in (("drop alone", False), ("drop accompanied", True)):
        for k in range(3):
            variance = 0.0
            for part in parts:
                others = (np.delete(part.labels, k, axis=1) == 1).any(axis=1) == wanted
                variance += (
                    sum(1 / ((others & (part.labels[:, k] == of)).sum() / 2.0 + 0.5) for of in (1, 0)) / 12
                )
            assert alone[f"{name} z"][k] == pytest.approx(np.arcsinh(alone[name][k] / np.sqrt(variance)))


def test_one_finding_has_no_others():
    a, b = (Site(of.labels[:, :1], of.scores[:, :1], of.patients) for of in pair(3, n=500))
    found = gather(a, b).columns
    for name in ("positives by labels", "negatives by labels mean", "drop alone", "drop accompanied z"):
        assert np.isnan(found[name]).all()
