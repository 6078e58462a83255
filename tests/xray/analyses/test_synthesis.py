"""Results over sites put together: which sites count, what is put together, and what is said where they are too few."""

import numpy as np
import pytest
from scipy.special import expit
from sqlalchemy import text

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
