"""Results over sites put together: which sites count, what is put together, and what is said where they are too few."""

import numpy as np
import pytest
from scipy.special import expit
from sqlalchemy import text
from statsmodels.api import Logit

from tests.xray.analyses.conftest import World
from xray.analyses.run import by_name, run
from xray.stats.delong import auc_interval
from xray.stats.synthesis import synthesise

AUCS = {"home": 2.0, "north": 1.5, "south": 1.0, "west": 0.5}


@pytest.fixture
def rows(world: World):
    """A model of `home` at three other sites, one of which has two datasets; and its result rows by (finding, measure)."""
    rng, scores, labels = np.random.default_rng(4), {}, {}
    for number, (name, shift) in enumerate({**AUCS, "west-again": 0.5}.items()):
        n = 120 if name == "west-again" else 200
        label = (np.arange(n) % 3 == 0).astype(float)
        labels[name], scores[name] = label, rng.normal(shift * label - 1, 1)
        world.dataset(
            name, {"Effusion": label, "Mass": label if number < 2 else np.full(n, np.nan)}, site=name[:4]
        )
    model = world.model("home", 0, ["home"], ["Effusion", "Mass"])
    for name, score in scores.items():
        world.score(model, name, {"Effusion": score, "Mass": score})
    world.study(list(labels), [model])
    run(world.engine, "test", [by_name("synthesis")])
    with world.engine.connect() as connection:
        stored = connection.execute(text("select * from synthesis_results")).mappings().all()
    return {(row["task"], row["measure"]): row for row in stored}, labels, scores


def test_auc_is_pooled_on_the_logit_scale_over_sites_away_from_home(rows):
    stored, labels, scores = rows
    row = stored["Effusion", "auc"]
    assert (row["datasets"], row["n_sites"]) == ("north, south, west", 3)
    areas = [
        auc_interval(labels[name], scores[name].astype(np.float32)) for name in row["datasets"].split(", ")
    ]
    values = np.array([float(area.value) for area in areas])
    errors = np.array([float(area.se) for area in areas]) / (values * (1 - values))
    synthesis = synthesise(np.log(values / (1 - values)), errors)
    expected = [
        expit(bound)
        for bound in (
            synthesis.mean,
            synthesis.lower,
            synthesis.upper,
            synthesis.next_lower,
            synthesis.next_upper,
        )
    ]
    names = ("value", "lower", "upper", "next_lower", "next_upper")
    assert [row[name] for name in names] == pytest.approx(expected, abs=1e-9)
    assert row["next_lower"] < row["lower"] < row["value"] < row["upper"] < row["next_upper"]


def test_every_measure_is_pooled_at_the_threshold_from_home(rows):
    stored, labels, scores = rows
    assert {measure for task, measure in stored if task == "Effusion"} == {
        "auc",
        "sensitivity",
        "specificity",
        "calibration slope",
        "observed/expected",
    }
    cut = stored["Effusion", "sensitivity"]["threshold"]
    values = [(scores[name][labels[name] == 1] >= cut).mean() for name in ("north", "south", "west")]
    assert min(values) < stored["Effusion", "sensitivity"]["value"] < max(values)


def test_a_finding_of_a_single_site_is_not_pooled(rows):
    assert not any(task == "Mass" for task, _ in rows[0])


def by_hand(label, score, cut):
    """Each measure on its scale with its standard error, of a site whose patients have one image each."""
    area = auc_interval(label, score)
    value = float(area.value)
    measures = {"auc": (np.log(value / (1 - value)), float(area.se) / (value * (1 - value)))}
    for name, hits in (("sensitivity", score[label == 1] >= cut), ("specificity", score[label == 0] < cut)):
        n, share = hits.size, hits.mean()
        # the variance of a sample of patients: n / (n - 1)
        effective = n if share in (0, 1) else n - 1
        yes, no = share * effective + 0.5, (1 - share) * effective + 0.5
        measures[name] = (np.log(yes / no), np.sqrt(1 / yes + 1 / no))
    line = Logit(label, np.column_stack([np.ones(len(score)), score.astype(np.float64)])).fit(disp=0)
    measures["calibration slope"] = (line.params[1], line.bse[1])
    observed, expected = label.mean(), expit(score.astype(np.float64)).mean()
    error = np.sqrt((1 - observed) / (observed * (len(label) - 1)))
    measures["observed/expected"] = (np.log(observed / expected), error)
    return measures


def test_every_measure_of_every_site_is_that_computed_by_hand(rows):
    stored, labels, scores = rows
    cut = stored["Effusion", "sensitivity"]["threshold"]
    sites = [
        by_hand(labels[name], scores[name].astype(np.float32), cut) for name in ("north", "south", "west")
    ]
    backs = {"auc": expit, "sensitivity": expit, "specificity": expit, "observed/expected": np.exp}
    for measure in sites[0]:
        row = stored["Effusion", measure]
        together = synthesise(*(np.array([site[measure][part] for site in sites]) for part in (0, 1)))
        back = backs.get(measure, float)
        expected = [back(of) for of in (together.mean, together.lower, together.upper, together.next_upper)]
        bounds = [row[name] for name in ("value", "lower", "upper", "next_upper")]
        assert bounds == pytest.approx(expected, rel=1e-5), measure
        assert row["tau2"] == pytest.approx(together.tau2, rel=1e-4, abs=1e-9)


def test_a_site_that_ranks_perfectly_has_no_logit_of_its_auc_and_is_left_out_of_that_alone(world):
    rng = np.random.default_rng(6)
    label, scores = (np.arange(120) % 3 == 0).astype(float), {}
    for name, shift in (("home", 2.0), ("north", 1.5), ("south", 1.0), ("perfect", 60.0)):
        world.dataset(name, {"Effusion": label})
        scores[name] = rng.normal(shift * label - 1, 1)
    model = world.model("home", 0, ["home"], ["Effusion"])
    for name, score in scores.items():
        world.score(model, name, {"Effusion": score})
    world.study(list(scores), [model])
    run(world.engine, "test", [by_name("synthesis")])
    with world.engine.connect() as connection:
        stored = connection.execute(text("select measure, n_sites, value from synthesis_results")).all()
    sites = {row.measure: row.n_sites for row in stored}
    assert (sites["auc"], sites["sensitivity"], sites["specificity"]) == (2, 3, 3)
    assert all(row.value is None or np.isfinite(row.value) for row in stored)
