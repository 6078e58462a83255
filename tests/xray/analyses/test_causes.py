"""Verdicts on models from elsewhere: what was planted is said, with the posterior's own numbers; or why nothing is."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import norm
from sqlalchemy import Engine, create_engine, text

from tests.conftest import copy_template
from tests.xray.analyses.conftest import World
from xray import study as study_files
from xray.analyses import causes, results
from xray.analyses.asked import questions_of
from xray.analyses.run import by_name, run
from xray.analyses.shown import part
from xray.analyses.stored import load_study, load_tests
from xray.data.foreign_models import add_foreign
from xray.explorer.asking import Database
from xray.report.answer import FAILS, Row
from xray.stats.causes import LOSS_RATIO, judge
from xray.stats.evidence import Site
from xray.stats.posterior import CAUSES

TASKS = ["Effusion", "Mass", "Edema", "Nodule", "Fibrosis", "Hernia"]
CHANGED = "Mass"
AT = TASKS.index(CHANGED)
COMMON = np.array([0.12, 0.15, 0.10, 0.20, 0.14, 0.18])
N = 3000
SEEDS = {
    "home": 10,
    "same": 11,
    "image": 12,
    "label": 0,
    "prevalence": 14,
    "verified": 15,
    "few": 16,
    "upside-down": 17,
}


def patients(kind: str, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores (n, 6) at a site: a severity per finding, called from a limit on, scored with noise."""
    draw = np.random.default_rng(SEEDS.get(kind, 20))
    share = COMMON.copy()
    if kind == "prevalence":
        share[AT] = 0.45
    severity = 0.95 * draw.normal(size=(n, 6)) + 0.3 * draw.normal(size=(n, 1))
    truth = severity > norm.ppf(1 - share) * np.hypot(0.95, 0.3)
    noise = draw.normal(size=(n, 6)) + 0.4 * draw.normal(size=(n, 1))
    scores = 2.0 * truth + noise - 2.5
    labels = truth.astype(float)
    if kind == "image":
        scores = 0.7 * (2.0 * truth + 1.7 * noise - 2.5) + 0.3
    if kind == "upside-down":
        scores = -20 * truth + noise
    if kind == "label":
        other = draw.permutation(truth[:, AT])
        labels[:, AT] = np.where(draw.random(n) < 0.6, other, labels[:, AT])
    if kind == "verified":
        suspicious = draw.random(n) < expit(1.5 * (scores[:, AT] + 2.0))
        labels[:, AT] = np.where(suspicious, labels[:, AT], np.nan)
    if kind == "absent":
        labels[:, AT] = 0
    if kind == "few":
        labels[np.flatnonzero(labels[:, AT] == 1)[6:], AT] = 0
    return labels, np.float32(scores).astype(np.float64)


def columns(table: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(TASKS, table.T, strict=True))


def bought(world: World, name: str = "vendor", trained_on: list[str] | None = None) -> int:
    with world.engine.begin() as connection:
        return add_foreign(connection, name, {"kind": "scores"}, TASKS, trained_on)


def ask(world: World, **keys: object) -> None:
    """Write keys into the study's file, under the one protocol that there is."""
    with world.engine.begin() as connection:
        connection.execute(
            text("update study set definition = cast(:d as jsonb), protocol_id = (select id from protocol)"),
            {"d": json.dumps(keys)},
        )


def computed(world: World) -> pd.DataFrame:
    run(world.engine, "test", [by_name("causes"), by_name("performance")])
    with world.engine.begin() as connection:
        return results.causes(connection, "test")


def add_site(
    world: World, names: list[str], n: int = N, covariates: bool = False
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    sites = {name: patients(name, n) for name in names}
    for name, (labels, _) in sites.items():
        world.dataset(name, columns(labels))
    if not covariates:
        with world.engine.begin() as connection:
            connection.execute(text("update image set age = null, sex = null"))
    return sites


@pytest.fixture(scope="module")
def planted(server, _template) -> Iterator[tuple[World, dict, pd.DataFrame]]:
    """One vendor's scores at its home and at sites where one thing is other; verdicts by the default loss ratio."""
    engine: Engine = create_engine(copy_template(server, _template, "planted_causes"))
    world = World(engine)
    sites = add_site(world, list(SEEDS))
    model = bought(world)
    for name, (_, scores) in sites.items():
        world.score(model, name, columns(scores))
    world.study(list(SEEDS), [model])
    ask(world, reference="home")
    yield world, sites, computed(world)
    engine.dispose()


def row_of(frame: pd.DataFrame, site: str, task: str = CHANGED) -> pd.Series:
    (row,) = [r for _, r in frame[(frame["test_dataset"] == site) & (frame["task"] == task)].iterrows()]
    return row


def directly(sites, a: str, b: str, loss_ratio: float = LOSS_RATIO):
    whole = []
    for index, name in enumerate((a, b)):
        labels, scores = sites[name]
        whole.append(Site(labels, scores, np.arange(len(labels)) + index * 10**6))
    return judge(*whole, loss_ratio)


def test_there_is_a_row_for_each_finding_at_each_site_but_the_reference(planted):
    _, _, frame = planted
    assert set(frame["train_dataset"]) == {"home"}
    assert set(frame["test_dataset"]) == set(SEEDS) - {"home"}
    assert len(frame) == (len(SEEDS) - 1) * len(TASKS)
    assert frame["at_home"].all()
    assert set(frame["evidence"]) == {"scores and labels"}


def test_stored_rows_equal_those_of_the_posterior(planted):
    _, sites, frame = planted
    for site in ("image", "label", "few"):
        evidence, verdicts = directly(sites, "home", site)
        for index, task in enumerate(TASKS):
            row, verdict = row_of(frame, site, task), verdicts[index]
            assert row["verdict"] == verdict.code
            assert row["basis"] == verdict.basis
            assert row["alike"] == verdict.alike
            assert row["auc_drop"] == pytest.approx(evidence.parts.drop.value[index], abs=1e-9)
            for at, cause in enumerate(CAUSES):
                stored = [
                    row[f"{name}_{cause}{end}"]
                    for name, end in (
                        ("probability", ""),
                        ("share", ""),
                        ("share", "_lower"),
                        ("share", "_upper"),
                    )
                ]
                values = [x[at] for x in (verdict.probability, verdict.share, verdict.lower, verdict.upper)]
                assert stored == pytest.approx(values, abs=1e-6), (site, task, cause)


@pytest.mark.parametrize(
    ("site", "leading", "named_at_4"),
    [
        ("image", "image", "image"),
        ("label", "label", "label"),
        ("prevalence", "prevalence", "prevalence"),
        ("same", None, "none"),
    ],
)
def test_the_planted_cause_leads_and_is_named_at_a_milder_loss_ratio(planted, site, leading, named_at_4):
    _, sites, frame = planted
    row = row_of(frame, site)
    odds = {cause: row[f"probability_{cause}"] for cause in CAUSES}
    if leading is not None:
        assert max(odds, key=odds.__getitem__) == leading
        assert odds[leading] > 0.8
    assert row["verdict"] in (named_at_4, "cannot tell")
    assert directly(sites, "home", site, 4)[1][AT].code == named_at_4


def test_no_cause_is_named_when_nothing_changed(planted):
    _, _, frame = planted
    same = frame[frame["test_dataset"] == "same"]
    assert set(same["verdict"]) == {"none"}
    assert same["resolve"].isna().all()
    others = frame[frame["test_dataset"].isin(["label", "prevalence"]) & (frame["task"] != CHANGED)]
    assert set(others["verdict"]) == {"none"}, "a finding that nobody touched beside one that was"


def test_verification_bias_counts_as_patients_and_not_as_image_or_label(planted):
    _, _, frame = planted
    row = row_of(frame, "verified")
    assert row["probability_population"] > 0.5
    assert not {"image", "label"} & set(row["verdict"].split(" + "))


def test_too_few_patients_and_unlike_cases_are_reported(planted):
    _, _, frame = planted
    few = row_of(frame, "few")
    assert (few["verdict"], few["reason"]) == ("cannot tell", "fewer than 10 patients of a class")
    assert "6 patients" in few["basis"]
    unlike = row_of(frame, "upside-down")
    assert (unlike["verdict"], unlike["reason"], unlike["alike"]) == (
        "cannot tell",
        "unlike the simulated cases",
        False,
    )
    assert unlike["resolve"]


def test_scores_inverted_at_one_site_are_reported(planted):
    _, _, frame = planted
    inverted = frame["resolve"].fillna("").str.startswith(causes.INVERTED)
    assert set(frame["test_dataset"][inverted]) == {"upside-down"}
    assert inverted.sum() == len(TASKS)
    row = row_of(frame, "upside-down")
    assert row["auc_a"] > 0.5 > row["auc_a"] - row["drop_lower"] > row["auc_b"]


def test_a_stricter_ratio_never_names_more_and_only_verdicts_are_computed_again(planted):
    world, _, frame = planted
    names = {}
    try:
        for ratio in (2, 9, 99):
            ask(world, reference="home", loss_ratio=ratio)
            again = run(world.engine, "test", [by_name("causes"), by_name("performance")])
            assert again["performance"] is False
            with world.engine.begin() as connection:
                rows = results.causes(connection, "test")
            assert set(rows["loss_ratio"]) == {ratio}
            pd.testing.assert_series_equal(rows["probability_label"], frame["probability_label"])
            names[ratio] = [
                set() if verdict in ("none", "cannot tell") else set(verdict.split(" + "))
                for verdict in rows["verdict"]
            ]
    finally:
        ask(world, reference="home")
        run(world.engine, "test", [by_name("causes")])
    ratios = sorted(names)
    for milder, stricter in pairwise(ratios):
        assert all(few <= many for many, few in zip(names[milder], names[stricter], strict=True))
    assert sum(map(len, names[2])) > sum(map(len, names[9])) > sum(map(len, names[99]))


def test_the_answer_names_the_odds_and_the_loss_against_the_reference(planted):
    world, _, _ = planted
    with world.engine.begin() as connection:
        answer = results.first_screen(connection, "test")
    cell = answer.cells[Row(CHANGED), "label"]
    assert cell.state == FAILS
    (model,) = cell.models
    assert model.home == pytest.approx(0.9, abs=0.05)
    assert model.loss == pytest.approx(model.home - model.auc, abs=1e-6)
    (sentence,) = [s for s in answer.failures if s.startswith("Mass fails at label")]
    assert re.search(r"P\(label\) (> )?0\.99", sentence)
    assert any("vendor, home to label" in s and "Like the simulated cases: yes" in s for s in answer.verdicts)
    assert any(
        s.startswith("No verdict, fewer than 10 patients") and "home to few" in s for s in answer.verdicts
    )
    at_home = answer.cells[Row(CHANGED), "home"].models[0]
    assert "is the reference" in at_home.why.note


def test_the_explorers_first_page_has_one_cell_with_the_verdict_for_each_finding_and_site(planted):
    world, _, frame = planted
    database = Database(world.engine)
    rows = database.rows("grid", models=["vendor"], study="test", trained_on="vendor", seed=None)
    cells = {(row.task, row.test_dataset): row.verdict for row in rows}
    assert len(rows) == len(cells) == len(SEEDS) * len(TASKS)
    assert all(cells[row["task"], row["test_dataset"]] == row["verdict"] for _, row in frame.iterrows())
    assert cells[CHANGED, "home"] is None


@pytest.mark.parametrize(
    ("reference", "trained_on", "pairs", "at_home"),
    [
        ("", None, {("home", "same"), ("same", "home")}, False),
        ("same", ["home"], {("same", "home")}, True),
        ("", ["home/train", "unheard-of"], {("home", "same")}, True),
        ("", ["unheard-of"], {("home", "same"), ("same", "home")}, False),
    ],
)
def test_the_reference_is_the_declared_one_else_the_training_site_else_each_site(
    world, reference, trained_on, pairs, at_home
):
    sites = add_site(world, ["home", "same"], 200)
    model = bought(world, trained_on=trained_on)
    for name, (_, scores) in sites.items():
        world.score(model, name, columns(scores))
    world.study(["home", "same"], [model])
    ask(world, reference=reference)
    frame = computed(world)
    assert set(zip(frame["train_dataset"], frame["test_dataset"], strict=True)) == pairs
    assert set(frame["at_home"]) == {at_home}


def test_age_sex_and_a_witness_from_the_other_site_are_used_and_named(world):
    sites = add_site(world, ["home", "label"], 900, covariates=True)
    model = bought(world)
    own = world.model("label", 0, ["label"], TASKS)
    witness = {
        name: np.float32(scores + np.random.default_rng(len(name)).normal(size=scores.shape))
        for name, (_, scores) in sites.items()
    }
    for name, (_, scores) in sites.items():
        world.score(model, name, columns(scores))
        world.score(own, name, columns(witness[name]))
    world.study(["home", "label"], [model, own])
    ask(world, reference="home")
    frame = computed(world)
    assert set(frame["evidence"]) == {"scores, labels, age, sex and a network trained on label"}
    covariates = np.column_stack([10.0 + np.arange(900), np.arange(900) % 2])
    whole = [
        Site(
            sites[name][0],
            sites[name][1],
            np.arange(900) + k * 10**6,
            witness[name].astype(float),
            covariates,
        )
        for k, name in enumerate(("home", "label"))
    ]
    evidence, verdicts = judge(*whole)
    assert evidence.witness
    assert evidence.covariates
    for index, task in enumerate(TASKS):
        stored = [row_of(frame, "label", task)[f"probability_{cause}"] for cause in CAUSES]
        assert stored == pytest.approx(list(verdicts[index].probability), abs=1e-6)
    assert len(row_of(frame, "label")["evaluation_ids"]) == 4


def test_the_same_images_under_two_labellers_measure_the_loss_by_labels(world):
    labels, scores = patients("home", 900)
    other = labels.copy()
    other[:, AT] = patients("same", 900)[0][:, AT]
    world.dataset("home", columns(labels))
    world.dataset("again", columns(other), site="home", like="home")
    model = bought(world)
    world.score(model, "home", columns(scores))
    world.study(["home", "again"], [model])
    ask(world, reference="home")
    frame = computed(world)
    assert row_of(frame, "again")["verdict"] == "label"
    assert "same images" in row_of(frame, "again")["basis"]
    assert row_of(frame, "again")["share_label"] == pytest.approx(
        row_of(frame, "again")["auc_drop"], abs=1e-6
    )
    assert row_of(frame, "again", "Edema")["verdict"] == "none"
    assert row_of(frame, "again")["probability_image"] == 0, "all images are the same"


def test_one_site_has_no_verdict_and_says_what_would_give_one(world):
    sites = add_site(world, ["home"], 200)
    model = bought(world)
    world.score(model, "home", columns(sites["home"][1]))
    world.study(["home"], [model])
    ask(world)
    assert computed(world).empty
    with world.engine.begin() as connection:
        (sentence,) = part(connection, "test", by_name("causes")).findings
        answer = results.first_screen(connection, "test")
    assert sentence.startswith("No verdict")
    assert "second site" in sentence
    assert "scored at home only" in sentence
    assert "vendor was scored at home only" in answer.cells[Row(CHANGED), "home"].models[0].why.note


def test_a_finding_without_two_classes_has_a_reason(world):
    sites = add_site(world, ["home", "absent"], 200)
    model = bought(world)
    for name, (_, scores) in sites.items():
        world.score(model, name, columns(scores))
    world.study(["home", "absent"], [model])
    ask(world, reference="home")
    row = row_of(computed(world), "absent")
    assert row["verdict"] == "cannot tell"
    assert row["basis"].startswith("not computed:")
    assert row["reason"]
    assert pd.isna(row["probability_label"])


def test_models_trained_here_keep_their_own_verdicts(two_sites):
    with two_sites.engine.begin() as connection:
        study = load_study(connection, "test")
        tests = load_tests(connection, study, causes.OF_IMAGES)
        assert list(causes.compute(study, tests, questions_of(connection, study))) == []


def test_the_default_loss_ratio_of_a_study_is_that_of_the_posterior():
    assert study_files.LOSS_RATIO == LOSS_RATIO
