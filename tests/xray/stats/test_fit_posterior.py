"""Fitting the posterior of causes: which worlds a network sees, and how sure the mean of networks may be."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from benchmarks import fit_posterior, left_out
from benchmarks._simulated import Rows, joined, one_finding
from benchmarks._strangers import draw_world
from benchmarks.causes import Answers, calibration, shares
from benchmarks.fit_posterior import DEVELOPMENT, NETWORKS, as_sure_as_right, development, folds
from xray.stats.posterior import BY_PATIENTS, OUTPUTS, Coefficients, Seen, outputs, probabilities, sides


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
def too_doubtful():
    """Three networks of one hidden unit, right on average, whose log odds are a third of what they should be."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(6000, 1))
    truth = rng.random((6000, 4)) < expit(3 * x - 1)
    second = np.zeros((3, 1, 20))
    second[:, :, :4] = 100
    c = Coefficients(
        ("drop",), np.zeros(1), np.ones(1), np.full((3, 1, 1), 0.01), np.zeros((3, 1)), second, np.zeros((3, 20)),
        np.ones((3, 4)), np.tile(np.array([[-0.3], [0.0], [0.3]]), 4), np.ones((5, 4)),
        np.ones((1, 1)), np.ones(1), 1.0, 1.0,
    )  # fmt: skip
    return c, x, truth


def test_an_underconfident_mean_is_calibrated(too_doubtful):
    c, x, truth = too_doubtful
    half = len(x) // 2
    learned = as_sure_as_right(c, x[:half], truth[:half])
    for cause in range(4):
        before, after = (
            calibration(probabilities(of, outputs(of, x[half:]))[:, cause], truth[half:, cause])
            for of in (c, learned)
        )
        assert before["slope"] > 1.5
        assert before["ece"] > 0.1
        assert after["slope"] == pytest.approx(1, abs=0.15)
        assert after["ece"] < 0.03


def test_calibration_changes_only_the_slope_and_intercept(too_doubtful):
    c, x, truth = too_doubtful
    learned = as_sure_as_right(c, x, truth)
    same = replace(learned, slope=c.slope, intercept=c.intercept)
    assert all(np.array_equal(getattr(same, name), getattr(c, name)) for name in ("first", "second", "widen"))
    ratio = learned.slope / c.slope
    np.testing.assert_allclose(ratio, ratio[:1].repeat(3, axis=0))


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
