"""Fitting the posterior of causes: which worlds trees and networks see, and how sure trees may be."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks import fit_posterior, left_out
from benchmarks._simulated import Rows, joined, one_finding
from benchmarks._strangers import draw_world
from benchmarks.causes import Answers, calibration, shares
from benchmarks.fit_posterior import DEVELOPMENT, NETWORKS, development, folds
from xray.stats import boosted
from xray.stats.posterior import BY_PATIENTS, OUTPUTS, Seen, sides


def rows_of(world, families, generator="strangers", **parts):
    """Rows without evidence; truth is 0 unless told."""
    n = len(world)
    flags, numbers = np.zeros((n, 4), bool), np.zeros(n)
    fields = {
        "columns": {}, "counts": flags, "drawn": flags, "shares": np.zeros((n, 4)), "drop": numbers, "drop_seen": numbers,
        "drop_se": numbers, "fewest": np.full(n, 50),
    } | parts  # fmt: skip
    return Rows(world=world, generator=np.full(n, generator), families=np.asarray(families), **fields)


def test_no_network_is_fitted_on_development_worlds():
    world = np.arange(200)
    kinds = np.array(["none", "noise", "noise + lost channels", "verification", "prevalence"])[world % 5]
    rows = rows_of(world, kinds)
    apart = development(rows)
    assert apart.sum() == 200 / DEVELOPMENT
    every = list(folds(rows))
    assert len(every) == NETWORKS
    for fold in every:
        assert not (fold.fitted & fold.left_out).any()
        assert ((fold.fitted | fold.left_out) == ~apart).all()


@pytest.fixture(scope="module")
def learned():
    """Rows whose image cause goes by one number, and others by nothing; a fifth of another number is missing."""
    rng = np.random.default_rng(3)
    n = 6000
    x = rng.normal(size=(n, 3))
    x[rng.random(n) < 0.2, 1] = np.nan
    counts = rng.random((n, 4)) < np.column_stack([expit(2 * x[:, 0] - 1), np.full((n, 3), 0.3)])
    names = ("drop", "others' drop", "tasks")
    rows = rows_of(
        np.arange(n) // 3, ["noise"] * n, counts=counts, columns=dict(zip(names, x.T, strict=True))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_posterior, "ROUNDS", 60)
        yield fit_posterior.boosted(x, names, rows), x, rows


def test_trees_are_as_sure_as_they_are_right(learned):
    trees, x, rows = learned
    apart = development(rows)
    probability = expit(trees.log_odds(x[apart]))
    line = calibration(probability[:, 0], rows.counts[apart, 0])
    assert line["slope"] == pytest.approx(1, abs=1e-3)
    assert line["ece"] < 0.05
    fresh = np.column_stack([np.linspace(-2, 2, 9), np.full((9, 2), np.nan)])
    np.testing.assert_allclose(expit(trees.log_odds(fresh))[:, 0], expit(2 * fresh[:, 0] - 1), atol=0.12)
    np.testing.assert_allclose(expit(trees.log_odds(fresh))[:, 1:], 0.3, atol=0.1)


def test_trees_are_those_of_scikit_learn(learned):
    _, x, rows = learned
    models = [
        HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=9, random_state=0).fit(
            x, rows.counts[:, k]
        )
        for k in range(4)
    ]
    trees = fit_posterior._joined(models)
    expected = np.column_stack([model.decision_function(x) for model in models])
    np.testing.assert_allclose(trees.log_odds(x), expected, rtol=1e-9)
    again = boosted.parse(boosted.as_rows(trees), trees.start)
    apart = np.abs(again.log_odds(x) - expected) > 1e-4
    assert apart.mean() < 0.01, "limits have six digits: a number that is as near to one may go the other way"
    slope, intercept = np.array([0.5, 1, 2, 3]), np.arange(4.0)
    scaled = trees.scaled(slope, intercept)
    np.testing.assert_allclose(scaled.log_odds(x), expected * slope + intercept, rtol=1e-9)


def test_trees_see_no_development_world(monkeypatch, learned):
    _, x, rows = learned
    fits = []

    class Recorded(HistGradientBoostingClassifier):
        def fit(self, x, y, **options):
            fits.append((x, y))
            return super().fit(x, y, **options)

    monkeypatch.setattr(fit_posterior, "HistGradientBoostingClassifier", Recorded)
    monkeypatch.setattr(fit_posterior, "ROUNDS", 2)
    fit_posterior.boosted(x, ("drop", "others' drop", "tasks"), rows)
    apart = development(rows)
    assert len(fits) == 4
    for inputs, y in fits:
        np.testing.assert_array_equal(inputs[:, 0], x[~apart, 0])
        alone = inputs[:, 2] == 0
        assert alone.mean() == pytest.approx(fit_posterior.TREES_ALONE, abs=0.03)
        assert np.isnan(inputs[alone, 1]).all()
        np.testing.assert_array_equal(inputs[~alone], x[~apart][~alone])
        assert y.size == (~apart).sum()


def test_a_posterior_without_some_families_is_fitted_on_no_world_with_them(monkeypatch, tmp_path):
    names = ["noise", "noise + prevalence", "spectrum", "mimic + noise", "none", "prevalence", "threshold"]
    rows = rows_of(np.arange(70), np.array(names)[np.arange(70) % 7])
    training_rows = []
    monkeypatch.setattr(left_out, "fit", lambda rows, variant: training_rows.append(rows))
    monkeypatch.setattr(left_out, "written", lambda c: "kept")
    monkeypatch.setattr(left_out, "parse", lambda text: text)
    judged = list(left_out.judged(rows, rows, "scores", tmp_path))
    every = left_out.groups(rows)
    assert sorted(frozenset().union(*every)) == [
        f"strangers: {name}" for name in ("mimic", "noise", "spectrum", "threshold")
    ]
    for names, fitted, (fresh, c) in zip(every, training_rows, judged, strict=True):
        assert not left_out.holds(fitted, names).any()
        assert left_out.holds(fresh, names).all()
        assert len(fitted) + len(fresh) == len(rows)
        assert c == "kept"
    list(left_out.judged(rows, rows, "scores", tmp_path))
    assert len(training_rows) == len(every), "what was fitted is kept"


def test_intervals_are_wide_enough_for_each_generator():
    """Shares of the second are all 0; ten times as many rows of it must not make intervals of the first narrow."""
    rng = np.random.default_rng(4)
    first, second = (
        rows_of(
            np.arange(at, at + n), [family] * n, generator, drop_se=np.full(n, 0.01),
            fewest=np.tile([10, 30, 60, 120, 200], n // 5), shares=shares,
        )
        for at, n, family, generator, shares in (
            (0, 3000, "noise", "strangers", rng.normal(0, 0.05, (3000, 4))),
            (3000, 30000, "broader", "plants", np.zeros((30000, 4))),
        )
    )  # fmt: skip
    rows = joined([first, second])
    out, every = np.zeros((NETWORKS, len(rows), OUTPUTS)), list(folds(rows))
    widen = fit_posterior._widened(out, rows, every)[np.searchsorted(BY_PATIENTS, rows.fewest, side="right")]
    middle, low, high = (of[0] for of in sides(out, Seen(rows.drop_seen, rows.drop_se, rows.fewest)))
    covered = np.abs(rows.shares - middle) <= widen * np.where(rows.shares < middle, low, high)
    left_out = np.any([fold.left_out for fold in every], axis=0)
    of_first = covered[left_out & (rows.generator == "strangers")].mean()
    assert of_first == pytest.approx(fit_posterior.HELD, abs=0.005)
    assert covered[rows.generator == "plants"].all()


def test_planted_changes_are_left_out_with_the_families_that_they_resemble():
    plants = rows_of(np.arange(3), ["errors", "noisy + prevalence", "prevalence"], generator="plants")
    strangers = rows_of(np.arange(3, 6), ["noise", "noise, lost channels", "spectrum"])
    rows = joined([plants, strangers])
    without = left_out.holds(rows, frozenset({"strangers: noise"}))
    np.testing.assert_array_equal(without, [True, False, False, True, False, False])
    for fold in folds(rows):
        assert fold.fitted[0] <= fold.fitted[3]
        assert fold.fitted[1] <= fold.fitted[4]


def test_rows_of_pairs_with_one_finding_are_joined_without_evidence_of_others():
    one = rows_of(np.arange(2), ["none"] * 2, columns={"drop": np.ones(2), "co-labels a": np.zeros(2)})
    two = rows_of(np.arange(3), ["none"] * 3, columns={"drop": np.ones(3)})
    for several in ([one, two], [two, one]):
        whole = joined(several)
        assert len(whole) == 5
        assert set(whole.columns) == {"drop", "co-labels a"}
        assert np.isnan(whole.columns["co-labels a"]).sum() == 3


def test_coverage_of_intervals_is_counted_by_width():
    n = 4
    rows = rows_of(
        np.arange(n),
        ["none"] * n,
        shares=np.tile([0.0, 0.0, 0.0, 0.05], (n, 1)),
        counts=np.tile([False, False, False, True], (n, 1)),
    )
    half = np.array([0.01, 0.04, 0.049, 0.06])[:, None]
    answers = Answers(
        np.zeros((n, 4)), np.zeros((n, 4)), np.zeros((n, 4)) - half, np.zeros((n, 4)) + half, np.ones(n, bool)
    )
    results = shares(rows, answers, np.ones(n, bool))
    assert results["intervals"] == 16
    assert results["held"] == (12 + 1) / 16
    assert results["narrow"] == 0.75
    assert results["width"] == pytest.approx(0.089)
    assert results["widest"] == pytest.approx(0.12)
    assert results["label"]["where it counts"]["held"] == 0.25
    assert results["image"]["where it counts"] == {}


def test_a_world_cut_to_one_finding_keeps_its_truth_and_its_scores():
    world = draw_world(2013, ("one finding dulled",))
    counting = np.flatnonzero(world.counts.any(axis=1))
    parts = list(one_finding(world, 5))
    assert len(parts) == 2
    places = [int(np.flatnonzero((world.a.scores - part.a.scores == 0).all(axis=0))[0]) for part in parts]
    assert places[0] in counting
    assert places[1] not in counting or len(counting) == len(world.drop)
    for at, part in zip(places, parts, strict=True):
        assert part.a.labels.shape[1] == part.b.labels.shape[1] == part.b.witness.shape[1] == 1
        for name in ("drop", "shares", "drawn", "counts", "relabelled", "piped_cost"):
            np.testing.assert_array_equal(getattr(part, name), getattr(world, name)[[at]])
        np.testing.assert_array_equal(part.by_a, world.by_a[:, [at]])
        np.testing.assert_array_equal(part.piped, world.piped[:, [at]])
        np.testing.assert_array_equal(part.b.labels, world.b.labels[:, [at]])
        np.testing.assert_array_equal(part.b.patients, world.b.patients)
