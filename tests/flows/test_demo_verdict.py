"""Images or labels? The verdicts of the demo against what was drawn: phantom-b other images, phantom-d other labels."""

from pathlib import Path
from urllib.parse import unquote, urlparse

import pandas as pd
import pytest

from benchmarks.phantom_verdict import Planted, counting, outcome, planted_causes
from xray.data.phantom.sites import PHANTOM_TASKS, load_sites
from xray.learning.network import load

CHANGED = ["Infiltration", "Mass"]
SITES = {"phantom-a": "alpha", "phantom-b": "bravo", "phantom-c": "charlie", "phantom-d": "delta"}

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def verdicts(demo) -> pd.DataFrame:
    """Rows by (train dataset, test dataset, task)."""
    rows = demo.ask("select * from shift_results where study = 'phantom'")
    return rows.set_index(["train_dataset", "test_dataset", "task"]).sort_index()


@pytest.mark.parametrize("task", CHANGED)
@pytest.mark.parametrize("pair", [("phantom-a", "phantom-d"), ("phantom-d", "phantom-a")])
def test_changed_labels_get_the_verdict_labels(verdicts, pair, task):
    row = verdicts.loc[(*pair, task)]
    assert row.verdict == "label"
    assert row.p_adjusted < 0.001
    assert row.transfer_lower > 0.1
    assert row.assumption


def test_unchanged_labels_are_not_blamed_at_phantom_d(verdicts):
    for task, row in verdicts.loc["phantom-a", "phantom-d"].iterrows():
        if task not in CHANGED:
            assert row.verdict in ("none", "cannot tell"), (task, row)


def test_other_images_alone_never_get_the_verdict_labels(verdicts):
    for pair in (("phantom-a", "phantom-b"), ("phantom-b", "phantom-a")):
        verdict = verdicts.loc[pair]
        assert len(verdict) == 8
        assert set(verdict["verdict"]) <= {"none", "image", "cannot tell"}, verdict["verdict"]
        assert (verdict["p_images_all"] < 0.001).all()


@pytest.fixture(scope="module")
def planted(demo) -> dict[tuple[str, str, str], Planted]:
    """(A, B, task) → what was drawn between two sites, and what of it the models of A feel: measured, on other patients."""
    trained = demo.ask("select trained_on, mlflow_model as name, mlflow_version as version from model")
    versions = demo.ask("select name, version, storage_location from model_versions", "mlflow")
    networks: dict[str, list] = {}
    for row in (
        trained[trained["trained_on"].isin(SITES)].merge(versions, on=["name", "version"]).itertuples()
    ):
        (weights,) = Path(unquote(urlparse(row.storage_location).path)).rglob("model.safetensors")
        networks.setdefault(SITES[row.trained_on], []).append(load(weights))
    assert {site: len(networks_of) for site, networks_of in networks.items()} == dict.fromkeys(
        SITES.values(), 2
    )
    sites = {name: site for name, site in load_sites().items() if name in networks}
    measured = counting(sites, networks, seed=0, unseen=range(5_000, 5_600), of_four=False)
    return {
        (a, b, task): Planted(causes, causes & measured[SITES[a], SITES[b]][task])
        for a in SITES
        for b in SITES
        if a != b
        for task in PHANTOM_TASKS
        for causes in [planted_causes(sites[SITES[a]], sites[SITES[b]], task)]
    }


@pytest.mark.slow
def test_the_measured_effect_of_a_cause_is_the_planted_one(planted):
    assert len(planted) == 12 * 8
    for task in CHANGED:
        for pair in (("phantom-a", "phantom-d"), ("phantom-d", "phantom-a")):
            assert planted[(*pair, task)].counts == {"label"}
    for task in PHANTOM_TASKS:
        assert planted["phantom-a", "phantom-b", task].counts <= {"image"}
    assert planted["phantom-a", "phantom-c", "Atelectasis"].counts == {"label"}, "a quarter is turned over"
    assert planted["phantom-a", "phantom-c", "Pneumothorax"].counts == {"prevalence"}
    assert "label" in planted["phantom-a", "phantom-c", "Cardiomegaly"].counts, "the threshold is another"


def test_of_four_causes_the_share_of_views_is_the_population():
    a, b, c, f = (load_sites()[name] for name in ("alpha", "bravo", "charlie", "foxtrot"))
    assert planted_causes(a, c, "Nodule") == {"image"}
    assert planted_causes(a, c, "Nodule", of_four=True) == {"population"}
    assert planted_causes(b, c, "Nodule", of_four=True) == {"image", "population"}
    assert planted_causes(a, b, "Mass", of_four=True) == planted_causes(a, b, "Mass") == {"image"}
    assert planted_causes(a, f, "Mass") == {"prevalence"}
    assert planted_causes(a, f, "Mass", of_four=True) == {"population", "prevalence"}
    assert planted_causes(a, f, "Nodule", of_four=True) == {"population"}, "others are more common"


def test_verdicts_name_the_planted_causes(verdicts, planted):
    outcomes = {key: outcome(planted[key], row.verdict) for key, row in verdicts.iterrows()}
    assert len(outcomes) == 84
    false = [key for key, of_it in outcomes.items() if of_it == "false"]
    assert len(false) <= 4, false
    assert list(outcomes.values()).count("exact") >= 0.6 * 84, outcomes


def test_the_drop_is_the_sum_of_its_parts(verdicts):
    assert (verdicts["auc_drop"] - verdicts["intrinsic"] - verdicts["transfer"]).abs().max() < 1e-9
    assert (verdicts["drop_lower"] <= verdicts["auc_drop"]).all()
    assert (verdicts["auc_drop"] <= verdicts["drop_upper"]).all()
