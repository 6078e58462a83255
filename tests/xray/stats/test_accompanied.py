"""How findings go together: by labels, by scores, and with or without each other."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from xray.stats.accompanied import across, companions, unaccompanied, within
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
    ("among", "moved", "still"), [(0, "negatives", "positives"), (1, "positives", "negatives")]
)
def test_another_finding_shifts_the_scores_of_the_class_it_accompanies(among, moved, still):
    columns = gather(*pair(0, by_other=(0.0, 0.8), among=among)).columns
    assert columns[f"{moved} by labels"][0] > np.arcsinh(5)
    assert columns[f"{moved} by labels mean"][0] > np.log(5) - 0.4
    assert columns[f"{still} by labels"][0] < np.arcsinh(3.5)
    for other in (1, 2):
        assert columns[f"{moved} by labels"][other] < np.arcsinh(3.5)


def test_an_association_at_both_sites_is_no_change():
    columns = gather(*pair(1, by_other=(0.8, 0.8))).columns
    assert columns["negatives by labels"][0] < np.arcsinh(3.5)


def test_changes_are_in_units_of_their_error():
    largest = [gather(*pair(seed, n=800)).columns["negatives by labels"] for seed in range(40)]
    z = np.sinh(np.array(largest))  # the larger of two standard normal deviates, by size
    assert np.mean(z > norm.isf(0.025)) == pytest.approx(1 - 0.95**2, abs=0.07)


def test_the_unaccompanied_drop_is_that_of_images_without_another_positive_label():
    a, b = pair(2, by_other=(0.0, 2.0))
    columns = gather(a, b).columns
    for name, is_accompanied in (("drop alone", False), ("drop accompanied", True)):
        values = []
        for site in (a, b):
            at = ((site.labels[:, 1] == 1) | (site.labels[:, 2] == 1)) == is_accompanied
            values.append(roc_auc_score(site.labels[at, 0], site.scores[at, 0]))
        assert columns[name][0] == pytest.approx(
            values[0] - values[1], abs=1e-4
        )  # beyond A's scores all are alike
    assert columns["drop accompanied z"][0] > np.arcsinh(5)
    assert abs(columns["drop alone z"][0]) < np.arcsinh(3)


def test_the_error_of_these_drops_is_at_least_theirs():  # a class's variance is taken as that of AUC 1/2, at most
    z = np.sinh(
        np.array([[gather(*pair(seed, n=800)).columns[f"drop {name} z"] for name in ("alone", "accompanied")]
                  for seed in range(40)])
    )  # fmt: skip
    assert 0.5 < z.std() < 1.1


def small_parts(seed, images=(60, 80)):
    """So few images that what is added to counts and variances shows."""
    rng = np.random.default_rng(seed)
    for n in images:
        labels = (rng.random((n, 3)) < 0.4).astype(float)
        labels[rng.random(labels.shape) < 0.05] = np.nan
        yield Part(labels, rng.normal(size=labels.shape), Patients(np.arange(n) // 2), 2.0)


def test_changes_of_odds_ratios_are_those_computed_one_by_one():
    parts = list(small_parts(5))
    result, p = companions(*parts)
    z = np.zeros((3, 3))
    for k, j in ((0, 1), (0, 2), (1, 2)):
        logs, variance = [], 0.0
        for part in parts:
            table = [
                ((part.labels[:, k] == one) & (part.labels[:, j] == two)).sum() + 0.5
                for one, two in ((1, 1), (0, 0), (1, 0), (0, 1))
            ]
            logs.append(np.log(table[0] * table[1] / (table[2] * table[3])))
            variance += 2.0 * sum(1 / count for count in table)
        z[k, j] = z[j, k] = (logs[1] - logs[0]) / np.sqrt(variance)
    for k in range(3):
        largest = np.abs(np.delete(z[k], k)).max()
        others = np.delete(np.delete(z, k, axis=0), k, axis=1)
        assert result["companions"][k] == pytest.approx(np.arcsinh(largest))
        assert result["companions mean"][k] == pytest.approx(0.5 * np.log((z[k] ** 2).sum() / 2 + 0.1))
        assert result["companions of others"][k] == pytest.approx(0.5 * np.log((others**2).sum() / 2 + 0.1))
        assert p[k] == pytest.approx(min(1, 2 * 2 * norm.sf(largest)))


def test_changes_of_scores_are_those_computed_one_by_one():
    parts = list(small_parts(6))
    columns = across(*parts)
    residual, moved = np.zeros((3, 3)), np.zeros((3, 3))
    for k in range(3):
        for j in {0, 1, 2} - {k}:
            r, gap, variance = [], [], 0.0
            for part in parts:
                rest = []
                for task in (k, j):
                    own, scores = part.labels[:, task], part.scores[:, task]
                    classes = [own == 1, own == 0]
                    rest.append(sum(np.where(of, scores - scores[of].mean(), 0) for of in classes))
                r.append(np.arctanh((rest[0] @ rest[1]) / np.sqrt((rest[0] @ rest[0]) * (rest[1] @ rest[1]))))
                yes, no = (part.scores[part.labels[:, k] == of, j] for of in (1, 0))
                gap.append(yes.mean() - no.mean())
                variance += 2.0 * part.scores[:, j].var() * (1 / yes.size + 1 / no.size)
            residual[k, j] = (r[1] - r[0]) ** 2 / (2.0 / 60 + 2.0 / 80)
            moved[k, j] = (gap[1] - gap[0]) ** 2 / variance
    for k in range(3):
        expected = {
            "residuals": 0.5 * np.log(residual[k].sum() / 2 + 0.1),
            "residuals of all": 0.5 * np.log(residual.sum() / 6 + 0.1),
            "other scores": np.arcsinh(np.sqrt(moved[k].max())),
            "other scores mean": 0.5 * np.log(moved[k].sum() / 2 + 0.1),
        }
        for name, value in expected.items():
            assert columns[name][k] == pytest.approx(value, rel=1e-5), name


def test_errors_and_means_are_those_computed_one_by_one():
    parts = list(small_parts(4))
    result, alone = within(*parts), unaccompanied(*parts)
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
            assert result[f"{name} by labels"][k] == pytest.approx(np.arcsinh(np.sqrt(max(z2))))
            assert result[f"{name} by labels mean"][k] == pytest.approx(0.5 * np.log(np.mean(z2) + 0.1))
    for name, is_accompanied in (("drop alone", False), ("drop accompanied", True)):
        for k in range(3):
            variance = 0.0
            for part in parts:
                others = (np.delete(part.labels, k, axis=1) == 1).any(axis=1) == is_accompanied
                variance += (
                    sum(1 / ((others & (part.labels[:, k] == of)).sum() / 2.0 + 0.5) for of in (1, 0)) / 12
                )
            assert alone[f"{name} z"][k] == pytest.approx(np.arcsinh(alone[name][k] / np.sqrt(variance)))


def test_one_finding_has_no_others():
    a, b = (Site(of.labels[:, :1], of.scores[:, :1], of.patients) for of in pair(3, n=500))
    columns = gather(a, b).columns
    for name in ("positives by labels", "negatives by labels mean", "drop alone", "drop accompanied z"):
        assert np.isnan(columns[name]).all()


def test_scores_of_one_are_taken_as_just_below_one():
    parts = []
    for part, sign in zip(small_parts(7), (1, -1), strict=True):
        labels, scores = part.labels[:, [0, 0]], part.scores[:, [0, 0]] * [1, sign]
        parts.append(Part(labels, scores, part.patients, part.effect))
    change = (2 * np.arctanh(0.999)) ** 2 / (2.0 / 60 + 2.0 / 80)
    np.testing.assert_allclose(across(*parts)["residuals"], 0.5 * np.log(change + 0.1))


def test_two_findings_have_one_other_each_and_no_pair_of_others():
    """The odds ratio of the two labels at either site, and its change in units of its error."""
    a, b = (Site(of.labels[:, :2], of.scores[:, :2], of.patients) for of in pair(3, n=500))
    columns = gather(a, b).columns
    logs, variances = [], []
    for site in (a, b):
        cells = [
            ((site.labels[:, 0] == first) & (site.labels[:, 1] == second)).sum() + 0.5
            for first, second in ((1, 1), (0, 0), (1, 0), (0, 1))
        ]
        logs.append(np.log(cells[0] * cells[1] / (cells[2] * cells[3])))
        variances.append(sum(1 / cell for cell in cells))
    z = (logs[1] - logs[0]) / np.sqrt(sum(variances))
    np.testing.assert_allclose(columns["companions"], np.arcsinh(abs(z)))
    np.testing.assert_allclose(columns["companions mean"], 0.5 * np.log(z**2 + 0.1))
    assert np.isnan(columns["companions of others"]).all()
    for name in ("residuals", "other scores", "other scores mean", "drop alone", "drop accompanied z"):
        assert np.isfinite(columns[name]).all(), name
