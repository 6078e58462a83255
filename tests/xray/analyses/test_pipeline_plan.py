"""A's pictures through B's pipeline in a real database: which, with what chance, and what verdicts change."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sqlalchemy import create_engine

from tests.conftest import copy_template
from tests.xray.analyses.conftest import World
from tests.xray.analyses.test_causes import (
    AT,
    CHANGED,
    TASKS,
    ask,
    bought,
    columns,
    computed,
    patients,
    row_of,
)
from xray.analyses.pipeline_plan import HEADER, _offers, image_list, plan
from xray.analyses.run import by_name, run
from xray.analyses.stored import load_study
from xray.data.intervention_files import add_intervention
from xray.data.score_files import Manner
from xray.errors import AnalysisError
from xray.stats import reread_design
from xray.stats.pipeline_update import Through, chances
from xray.stats.pipelines import Piped
from xray.stats.reread_update import known_before
from xray.stats.rereads import expected_se
from xray.tasks import TASK_INDEX

N = 1500


@pytest.fixture(scope="module")
def sites(server, _template) -> Iterator[World]:
    """A vendor's model at its home and at a site whose pictures are noisier."""
    engine = create_engine(copy_template(server, _template, "planned_pipeline"))
    world = World(engine)
    model = None
    for name, kind in (("home", "home"), ("there", "image")):
        labels, scores = patients(kind, N)
        world.dataset(name, columns(labels))
        model = model or bought(world)
        world.score(model, name, columns(scores))
    world.study(["home", "there"], [model])
    ask(world, reference="home", loss_ratio=999)  # so strict that nothing is certain: all is in doubt
    computed(world)
    yield world
    engine.dispose()


def piped() -> np.ndarray:
    """Scores (N, 6) of home's images with as much noise as there is at the other site."""
    labels, scores = patients("home", N)
    noise = scores - 2.0 * labels + 2.5
    return 0.7 * (2.0 * labels + 1.7 * noise - 2.5) + 0.3


def handed_in(world: World, path: Path, images: np.ndarray) -> None:
    frame = pd.DataFrame(piped()[images], columns=TASKS)
    frame.insert(0, "image", [f"home-test{number}" for number in images])
    frame.to_csv(path, index=False)
    with world.engine.begin() as connection:
        add_intervention(connection, path, "vendor", "home", "there", Manner("logit", True, None))


def test_a_plan_names_the_images_the_pipeline_and_the_chances(sites):
    with sites.engine.connect() as connection:
        plans = plan(connection, "test", None, 0)
        assert {(of.pair.a.dataset, of.pair.b.dataset, of.pair.model) for of in plans} == {
            ("home", "there", "vendor")
        }
        assert {of.task for of in plans} == set(TASKS)
        assert [of.whole for of in plans] == sorted((of.whole for of in plans), reverse=True)
        assert all(0 < of.image < 1 and 0 < of.reads < 1 and 0 < of.both < 1 for of in plans)
        assert all(of.images.size == N for of in plans)
        (one,) = plan(connection, "test", 100, 0, task=CHANGED)
        again, other = (plan(connection, "test", 100, seed, task=CHANGED)[0].images for seed in (0, 1))
        of_vendor = plan(connection, "test", None, 0, model="vendor")
    assert [(of.pair.model, of.task, of.whole) for of in of_vendor] == [
        (of.pair.model, of.task, of.whole) for of in plans
    ]
    assert one.images.tolist() == again.tolist() != other.tolist()
    assert patients("home", N)[0][one.images, AT].sum() == 50


def test_the_chances_are_those_of_the_images_and_of_two_hundred_reads(sites):
    with sites.engine.connect() as connection:
        plans = plan(connection, "test", 300, 0)
    for of in plans:
        task = TASK_INDEX[of.task]
        at = of.pair.evidence.tasks.tolist().index(task)
        scores, labels = (part[:, task] for part in (of.pair.b.ensemble("vendor"), of.pair.b.cohort.labels))
        se = expected_se(scores, labels, reread_design.plan(scores, labels, 200))
        verdict = of.pair.verdicts[task]
        before = known_before(of.pair.evidence, at, verdict.probability)
        expected = chances(before, verdict.alike, se, of.images.size, 999)
        assert (of.image, of.whole, of.reads, of.both) == pytest.approx(
            tuple(expected[name] for name in ("image", "whole", "whole by reads", "whole by both")), rel=1e-6
        )


def test_ten_patients_of_each_class_are_enough_and_what_is_measured_or_certain_is_not_planned(sites):
    with sites.engine.connect() as connection:
        study = load_study(connection, "test")
        (of, *_) = plan(connection, "test", 300, 0)
    pair, number = of.pair, TASK_INDEX[of.task]

    def offered(loss_ratio=999, fewest=10, **verdict):
        changed = replace(
            pair,
            evidence=replace(pair.evidence, fewest=np.full_like(pair.evidence.fewest, fewest)),
            verdicts=pair.verdicts | {number: replace(pair.verdicts[number], **verdict)},
        )
        return of.task in {offer.task for offer in _offers(study, changed, loss_ratio, 300, 0, None)}

    assert offered()
    assert not offered(fewest=9)
    assert not offered(through=Through(Piped(0.1, 0.01, 0.08, 0.12, 900), np.full(4, 0.1)))
    assert not offered(loss_ratio=2, probability=np.array([0.9, 0.1, 0.1, 0.1]))


def test_the_list_holds_image_names_without_labels(sites):
    with sites.engine.connect() as connection:
        (one,) = plan(connection, "test", 100, 0, task=CHANGED)
        rows = list(csv.DictReader(io.StringIO(image_list(connection, one))))
    assert tuple(rows[0]) == HEADER == ("image", "path")
    assert [row["image"] for row in rows] == [f"home-test{number}" for number in one.images]


def test_an_impossible_plan_is_refused_with_the_reason(sites):
    with sites.engine.connect() as connection:
        with pytest.raises(AnalysisError, match="finding 'Mas'"):
            plan(connection, "test", None, 0, task="Mas")
        with pytest.raises(AnalysisError, match="model 'vendr'"):
            plan(connection, "test", None, 0, model="vendr")
        with pytest.raises(AnalysisError, match="would settle nothing of Fracture"):
            plan(connection, "test", None, 0, task="Fracture")


def test_scores_of_a_sample_change_only_the_verdict_on_its_finding(sites, tmp_path):
    """Positives of one finding alone: no sample by chance of another's classes."""
    images = np.flatnonzero(patients("home", N)[0][:, AT] == 1)[:60]
    others = np.flatnonzero(patients("home", N)[0][:, AT] == 0)[:60]
    before = computed(sites)
    handed_in(sites, tmp_path / "some.csv", np.sort(np.concatenate([images, others])))
    assert run(sites.engine, "test", [by_name("causes")]) == {"causes": True}, (
        "its scores make verdicts stale"
    )
    assert run(sites.engine, "test", [by_name("causes")]) == {"causes": False}
    after = computed(sites)
    assert "home's pictures through there's pipeline" in row_of(after, "there")["evidence"]
    assert "by 120 pictures of the reference site" in row_of(after, "there")["basis"]
    assert not before["evidence"].str.contains("pipeline").any()


def test_scores_of_all_images_measure_the_image_loss(sites, tmp_path):
    ask(sites, reference="home", loss_ratio=2)
    handed_in(sites, tmp_path / "all.csv", np.arange(N))
    row = row_of(computed(sites), "there")
    labels, own = patients("home", N)
    cost = roc_auc_score(labels[:, AT], own[:, AT]) - roc_auc_score(labels[:, AT], np.float32(piped()[:, AT]))
    assert row["share_image"] == pytest.approx(cost, abs=1e-6)
    assert row["share_image_lower"] < cost < row["share_image_upper"]
    assert row["verdict"] == "image"
    assert row["probability_image"] > 0.9
    assert "through the pipeline of this site" in row["basis"]
    assert row["assumption"] == "the pipeline holds all that differs between the two acquisitions"
