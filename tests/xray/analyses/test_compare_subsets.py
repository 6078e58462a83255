"""`xray compare MODEL --where A --against B`: one model on two subsets, against independent computations and simulation."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import confint_proportions_2indep

from flows.cli import cli
from xray.analyses.compare_subsets import compare_subsets
from xray.analyses.stored import load_study, load_tests
from xray.analyses.where import Clause, fit, parse
from xray.errors import AnalysisError
from xray.stats.clustered import clustered_subsets
from xray.stats.comparisons import compare_unpaired
from xray.stats.delong import auc_interval
from xray.stats.multiplicity import holm
from xray.stats.shares import shares_by_patient
from xray.tasks import TASK_INDEX

MEN, WOMEN = "sex = 'M'", "sex = 'F'"


def test_every_number_equals_an_independent_computation(two_sites):
    with two_sites.engine.begin() as connection:
        rows = compare_subsets(connection, "test", "x", MEN, WOMEN)
        tests = {
            test.dataset: test for test in load_tests(connection, load_study(connection, "test"), ["sex"])
        }
    assert {row["test_dataset"] for row in rows} == {"x", "y"}
    for row in rows:
        test, task = tests[row["test_dataset"]], TASK_INDEX[row["task"]]
        label, score = test.cohort.labels[:, task], test.ensemble("x")[:, task]
        for side, condition in (("a", MEN), ("b", WOMEN)):
            fits = fit(parse(condition), test.columns, len(label)) & ~np.isnan(label)
            assert (row[f"n_{side}"], row[f"n_pos_{side}"]) == (fits.sum(), label[fits].sum())
            if 0 < row[f"n_pos_{side}"] < row[f"n_{side}"]:
                assert row[f"auc_{side}"] == pytest.approx(roc_auc_score(label[fits], score[fits]))
                calls = score >= row["threshold"]
                assert row[f"sensitivity_{side}"] == pytest.approx(calls[fits & (label == 1)].mean())
                assert row[f"specificity_{side}"] == pytest.approx((~calls)[fits & (label == 0)].mean())
            else:
                assert row[f"auc_{side}"] is None
        if row["reason"] is None:
            assert row["difference"] == pytest.approx(row["auc_a"] - row["auc_b"])
            assert row["lower"] < row["difference"] < row["upper"]
        else:
            assert min(row["n_pos_a"], row["n_pos_b"]) < 10
            assert (row["difference"], row["sensitivity_difference"], row["p"]) == (None, None, None)
    labelled = [row for row in rows if row["p"] is not None]
    assert labelled
    assert [row["p_holm"] for row in labelled] == pytest.approx(holm([row["p"] for row in labelled]))


def test_a_score_equal_to_the_threshold_is_called_positive(world):
    label = np.arange(80) % 4 == 0
    score = np.where(label, 2.0, np.arange(80) % 3)
    world.dataset("x", {"Effusion": label.astype(float)})
    model = world.model("x", 0, ["x"], ["Effusion"])
    world.score(model, "x", {"Effusion": score})
    world.study(["x"], [model])
    with world.engine.begin() as connection:
        (row,) = compare_subsets(connection, "test", "x", "age < 50", "age >= 50")
    assert row["threshold"] == 2
    for side, fits in (("a", np.arange(80) < 40), ("b", np.arange(80) >= 40)):
        assert row[f"specificity_{side}"] == pytest.approx((score[fits & ~label] < 2).mean())


def draw(random, n, shift):
    label = (random.random(n) < 0.3).astype(np.float64)
    return label, random.normal(size=n) + shift * label


def test_without_shared_patients_the_comparison_is_that_of_two_samples():
    random = np.random.default_rng(1)
    label, score = draw(random, 400, 1.2)
    half = np.arange(400) < 220
    labels = [np.where(half, label, np.nan), np.where(half, np.nan, label)]
    _, comparison = clustered_subsets(labels, score, np.arange(400))
    apart = compare_unpaired(auc_interval(label[half], score[half]), auc_interval(label[~half], score[~half]))
    for name in ("difference", "lower", "upper", "p"):
        assert float(getattr(comparison, name)) == pytest.approx(float(getattr(apart, name)), abs=1e-6)
    classes = [half & (label == 1), ~half & (label == 1)]
    (one, two), gap = shares_by_patient(classes, score > 1, np.arange(400))
    newcombe = confint_proportions_2indep(
        int(one.n_pos), int(one.n), int(two.n_pos), int(two.n), compare="diff", method="newcomb"
    )
    assert (float(gap.lower), float(gap.upper)) == pytest.approx(
        newcombe, abs=2e-3
    )  # ours counts m − 1 patients


def test_intervals_hold_where_every_patient_is_in_both_subsets():
    """The same patients before and after: 200 worlds without a difference; shared patients make the interval narrower."""
    random, covered, narrower = np.random.default_rng(2), np.zeros(2), 0
    worlds, n = 200, 150
    for _ in range(worlds):
        ill = (random.random(n) < 0.4).astype(np.float64)
        own = random.normal(size=n)
        score = np.concatenate([own * 0.8 + random.normal(size=n) * 0.6 + ill for _ in range(2)])
        labels = [np.append(ill, np.full(n, np.nan)), np.append(np.full(n, np.nan), ill)]
        patients = np.tile(np.arange(n), 2)
        _, auc = clustered_subsets(labels, score, patients)
        _, share = shares_by_patient([value == 1 for value in labels], score > 0.5, patients)
        _, apart = clustered_subsets(labels, score, np.arange(2 * n))
        covered += [float(auc.lower) <= 0 <= float(auc.upper), float(share.lower) <= 0 <= float(share.upper)]
        narrower += float(auc.upper - auc.lower) < float(apart.upper - apart.lower)
    assert (np.abs(covered / worlds - 0.95) < 0.04).all(), covered / worlds
    assert narrower > 0.95 * worlds


def test_days_are_compared_as_days():
    cells = np.array(
        ["20231231", "2024-01-01", "2024-01-01T10:00", 20240202.0, None, "unknown"], dtype=object
    )
    for operator, expected in (
        ("<", [1, 0, 0, 0, 0, 0]),
        (">=", [0, 1, 1, 1, 0, 0]),
        ("!=", [1, 0, 0, 1, 0, 0]),
    ):
        assert Clause("StudyDate", operator, "2024-01-01").holds(cells).tolist() == [
            bool(e) for e in expected
        ]
    with pytest.raises(AnalysisError, match="there is no day 2024-13-01"):
        Clause("StudyDate", "<", "2024-13-01").holds(cells)


def test_an_impossible_comparison_is_refused_with_the_reason(two_sites):
    with two_sites.engine.begin() as connection:
        for model, first, second, words in (
            ("z", MEN, WOMEN, "unknown model|there is no model"),
            ("x", MEN, "age >= 0", "images of .* fit both"),
            ("x", "age > 999", WOMEN, "'age > 999': no image that x scored fits"),
        ):
            with pytest.raises(AnalysisError, match=words):
                compare_subsets(connection, "test", model, first, second)


def test_the_command_compares_two_subsets(two_sites, monkeypatch):
    monkeypatch.setenv("XRAY_DATABASE_URL", two_sites.engine.url.render_as_string(hide_password=False))
    words = ["compare", "x", "--study", "test", "--where", MEN]
    result = CliRunner().invoke(cli, words)
    assert (result.exit_code, "give SECOND, or --where and --against" in result.output) == (2, True)
    result = CliRunner().invoke(cli, [*words, "--against", WOMEN, "--json"])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.output.splitlines() if line.startswith("{")]
    assert {"auc_a", "auc_b", "difference", "p_holm", "sensitivity_difference"} <= set(rows[0])
    output = CliRunner().invoke(cli, [*words, "--against", WOMEN]).output
    assert f"x: {MEN}, minus {WOMEN}. Patients are the units" in output
