"""Two hospitals with five findings, three of them their own words, from manifest to verdict to page."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from db.embedded import Server
from db.store import read_logits
from tests.conftest import copy_template
from xray.analyses.report import write_report
from xray.analyses.run import run_all
from xray.analyses.stored import load_study, load_tests
from xray.data.named_cohorts import find_cohort
from xray.data.phantom.generate import write_site
from xray.data.phantom.sites import load_sites
from xray.data.pictures import pixel_cache
from xray.data.prediction_export import exported
from xray.data.prediction_files import import_predictions
from xray.data.prepare import prepare
from xray.data.registered import read_named
from xray.learning.evaluate import evaluate
from xray.learning.infer import score
from xray.learning.missing import missing
from xray.learning.models import ensure_model
from xray.learning.network import load
from xray.learning.tracking import Tracker
from xray.learning.weights import weights_of
from xray.plan import record_study, requests
from xray.study import read_study
from xray.tasks import TASKS

FINDINGS = ("Tuberculosis", "Effusion", "COVID-19", "Support Devices", "Cardiomegaly")
WRITTEN = {"Mass": "TB", "Nodule": "covid-19", "Pneumothorax": "Support devices"}
"""Column of the synthetic site → how the hospital writes the finding that it stands for here."""
SIZE = 16
STUDY = """
name = "own-findings"
findings = ["TB", "Pleural Effusion", "COVID-19", "Support Devices", "Cardiomegaly"]
configurations = ["each"]
seeds = [0]
foreign = ["eighteen"]
[[datasets]]
name = "north"
manifest = "north/labels.csv"
[[datasets]]
name = "south"
manifest = "south/labels.csv"
[network]
name = "small_convnet"
image_size = 16
heads = "per dataset"
[training]
epochs = 2
batch_size = 16
learning_rate = 3e-3
[augmentation]
rotation = 0
translation = 0
scale = 0
intensity = 0
"""


@dataclass(frozen=True)
class Finished:
    """The study after its run."""

    engine: Engine
    home: Path
    tracker: Tracker
    models: list[int]
    page: str

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            yield connection

    def rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self.engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text(query), parameters)]


def draw(folder: Path, site: str) -> None:
    """Pictures of a synthetic site, and a manifest in the hospital's own words."""
    write_site(load_sites()[site], folder, patients=160, size=SIZE, seed=3)
    frame = pd.read_csv(folder / "labels.csv", dtype=str).rename(columns=WRITTEN)
    rows_kept = [
        "image_id",
        "patient_id",
        "path",
        "view",
        "age",
        "sex",
        *WRITTEN.values(),
        "Effusion",
        "Cardiomegaly",
    ]
    frame[rows_kept].to_csv(folder / "labels.csv", index=False)


def score_elsewhere(connection: Connection, folder: Path) -> None:
    """Scores of a model of all of the default list."""
    for name in ("north", "south"):
        cohort = find_cohort(connection, name, "corrected", "test")
        logits = np.random.default_rng(1).normal(size=(len(cohort.images), len(TASKS)))
        frame = pd.DataFrame(logits, columns=list(TASKS))
        frame.insert(0, "image", cohort.images)
        frame.to_csv(folder / "scores.csv", index=False)
        import_predictions(connection, folder / "scores.csv", "eighteen", cohort, "logit")


@pytest.fixture(scope="module")
def finished(
    server: Server, _template: str, mlflow_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    folder = tmp_path_factory.mktemp("own findings")
    engine = create_engine(copy_template(server, _template, "own_findings"))
    draw(folder / "north", "alpha")
    draw(folder / "south", "delta")
    (folder / "study.toml").write_text(STUDY)
    study = read_study(folder / "study.toml")
    home = folder / "home"
    home.mkdir()
    for request in study.datasets:
        prepare(engine, home, request, study.protocol, SIZE)
    tracker = Tracker(mlflow_url, folder / "artifacts")
    models = [ensure_model(engine, tracker, home, request)[0] for request in requests(study)]
    with engine.begin() as connection:
        score_elsewhere(connection, folder)
        record_study(connection, study, models)
        lists_missing = missing(connection)
    for model, lists in lists_missing.items():
        evaluate(engine, tracker, home, model, lists)
    run_all(engine, study.name)
    with engine.begin() as connection:
        page = write_report(connection, study, folder / "report", [])
    return Finished(engine, home, tracker, models, page.read_text(encoding="utf-8"))


LISTED = "select task.name from {0}_task join task on task.id = task_id where {0}_id = :id order by position"


def test_dataset_study_and_model_store_their_findings_by_name(finished: Finished) -> None:
    ((dataset,), *_) = finished.rows("select id from dataset where name = 'north'")
    ((study,),) = finished.rows("select id from study")
    assert {name for (name,) in finished.rows(LISTED.format("dataset"), id=dataset)} == set(FINDINGS)
    assert [name for (name,) in finished.rows(LISTED.format("study"), id=study)] == list(FINDINGS)
    assert [name for (name,) in finished.rows(LISTED.format("model"), id=finished.models[0])] == list(
        FINDINGS
    )


def test_labels_are_those_of_the_hospital_s_own_column(finished: Finished) -> None:
    stored = finished.rows(
        "select image, state from labels where dataset = 'north' and task = 'Tuberculosis'"
    )
    file = pd.read_csv(finished.home.parent / "north" / "labels.csv", dtype=str).set_index("image_id")["TB"]
    states = {"1": "positive", "0": "negative"}
    assert dict(stored) == {name: states.get(cell, "not mentioned") for name, cell in file.items()}
    with finished.connect() as connection:
        table = read_named(connection, "north", terms=True).table
    assert set(table.terms[:, table.findings.index("Tuberculosis")]) <= {"TB", None}


def test_stored_logits_are_those_of_the_network_s_outputs_by_name(finished: Finished) -> None:
    network = load(weights_of(finished.engine, finished.tracker, finished.models[0]))
    assert network.findings == FINDINGS
    with finished.connect() as connection:
        dataset = read_named(connection, "south")
        study = load_study(connection, "own-findings")
        (test,) = load_tests(connection, study, datasets=["south"], trained_on=["north"])
        places = dataset.places(test.cohort.images)
        ids = dict(finished.rows("select name, id from task"))
        (evaluation,) = test.logits
        stored = read_logits(connection, evaluation, [ids[name] for name in FINDINGS[::-1]])
    scores = score(network, pixel_cache(dataset, finished.home, SIZE, "centre"), places, ["south"])
    np.testing.assert_allclose(stored, scores.T[::-1], atol=1e-5)
    assert study.findings == FINDINGS


def test_models_of_five_and_of_eighteen_findings_are_compared(finished: Finished) -> None:
    cells = finished.rows(
        "select task, trained_on, auc is not null, reason from auc_results where test_dataset = 'south' and seed is null"
        " order by task_position, trained_on"
    )
    assert list(dict.fromkeys(task for task, *_ in cells)) == list(FINDINGS)
    assert {(task, name) for task, name, defined, _ in cells if defined} == {
        *((task, name) for task in FINDINGS for name in ("north", "south")),
        ("Effusion", "eighteen"),
        ("Cardiomegaly", "eighteen"),
    }
    reasons = {reason for task, name, defined, reason in cells if not defined}
    assert len(reasons) == 1
    assert "not trained" in str(reasons.pop())


def test_every_own_finding_gets_a_verdict(finished: Finished) -> None:
    verdicts = finished.rows("select distinct task, verdict is not null from shift_results")
    assert {task for task, judged in verdicts if judged} == set(FINDINGS)


def test_the_page_names_own_findings(finished: Finished) -> None:
    for finding in FINDINGS:
        assert finding in finished.page


def test_scores_are_written_with_every_finding_and_read_again(finished: Finished, tmp_path: Path) -> None:
    with finished.connect() as connection:
        cohort = find_cohort(connection, "south", "corrected", "test")
        (name,) = connection.scalars(
            text("select name from model where id = :id"), {"id": finished.models[0]}
        )
        (frame,) = exported(connection, cohort, [name], "logit")
        assert {*FINDINGS, *TASKS} <= set(frame.columns)
        frame.drop(columns=["model"]).to_csv(tmp_path / "scores.csv", index=False)
        again = import_predictions(connection, tmp_path / "scores.csv", "copied", cohort, "logit")
        assert set(again.tasks) == set(FINDINGS)
        (copied,) = exported(connection, cohort, ["copied"], "logit")
        pd.testing.assert_frame_equal(copied.drop(columns="model"), frame.drop(columns="model"))
        connection.execute(text("delete from model where name = 'copied'"))
