"""A model from elsewhere in a study: a row of the performance grid, of agreement, of the report; what it knows is said."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sqlalchemy import text

from xray.analyses import results
from xray.analyses.current import count_current
from xray.analyses.run import ANALYSES, run_all
from xray.analyses.stored import load_study, load_tests
from xray.data.foreign_models import add_foreign
from xray.data.leakage import record_foreign
from xray.report.answer import answer
from xray.report.grids import auc_grid, kappa_grid
from xray.report.page import Study, write
from xray.report.tables import plain
from xray.report.text import auc_table
from xray.tasks import TASK_INDEX

CARD = {"kind": "scores", "citation": "Doe 2026"}
UNTOUCHED = {
    "leave_one_site_out",
    "images_or_labels",
    "classifier_map",
    "classifier_distance",
    "feature_map",
    "view_classifier",
    "interventions",
}
"""What no model from elsewhere enters."""


@pytest.fixture
def with_theirs(two_sites):
    """Two sites and, in their study, a model from elsewhere that is said to know x; it scored both for Effusion."""
    with two_sites.engine.begin() as connection:
        model_id = add_foreign(connection, "theirs", CARD, ["Effusion"], ["x", "unheard-of"])
        silent = add_foreign(connection, "silent", {"kind": "scores"}, ["Mass"], None)
        study = connection.scalar(text("select id from study"))
        connection.execute(text("update study set protocol_id = (select id from protocol)"))
    run_all(two_sites.engine, "test")
    with two_sites.engine.begin() as connection:
        assert count_current(connection, "test") == len(ANALYSES)
    two_sites.add_models(study, [model_id, silent], first=6)
    for dataset in ("x", "y"):
        two_sites.score(model_id, dataset, {"Effusion": np.random.default_rng(8).normal(size=60)})
    return two_sites


def test_a_foreign_model_is_analysed_beside_our_own(with_theirs, tmp_path):
    with with_theirs.engine.begin() as connection:
        assert count_current(connection, "test") == len(UNTOUCHED)
        own = load_study(connection, "test").configurations
    assert list(own) == ["x", "y", "all"], (
        "it is no configuration: it plays no arm, and is nobody's own model"
    )
    assert run_all(with_theirs.engine, "test") == {
        analysis.name: analysis.name not in UNTOUCHED for analysis in ANALYSES
    }
    with with_theirs.engine.begin() as connection:
        study = load_study(connection, "test")
        tests = load_tests(connection, study)
        auc = results.performance(connection, "test")
        agreement = results.agreement(connection, "test")
        notes = results.foreign_notes(connection, "test")
        models = results.models(connection, "test")
        cohorts = results.cohorts(connection, "test")
        methods = connection.scalars(
            text("select distinct method from auc where trained_on = 'theirs'")
        ).all()
        arms = connection.scalar(text("select count(*) from auc_difference where trained_on_a = 'theirs'"))
    rows_of_model = auc[auc["trained_on"] == "theirs"]
    assert rows_of_model["seed"].isna().all()
    assert methods == ["AUC of one foreign model, DeLong, logit interval 95 %"]
    assert arms == 0
    for test in tests:
        column = TASK_INDEX["Effusion"]
        labelled = ~np.isnan(test.cohort.labels[:, column])
        (value,) = rows_of_model.loc[
            (rows_of_model["test_dataset"] == test.dataset) & (rows_of_model["task"] == "Effusion"), "auc"
        ]
        scores = test.ensemble("theirs")[labelled, column]
        assert value == pytest.approx(roc_auc_score(test.cohort.labels[labelled, column], scores), abs=1e-12)
    assert set(rows_of_model.loc[rows_of_model["task"] == "Edema", "reason"]) == {"not trained"}
    assert auc_grid(auc).rows == ("x", "y", "all", "theirs")
    assert set(agreement.loc[agreement["trained_on"] == "theirs", "test_dataset"]) == {"x", "y"}
    assert "theirs" in kappa_grid(agreement).rows
    assert "theirs" in auc_table(auc)
    assert len(models) == 8
    assert [entry.text for entry in plain("Models", models).rows[0][1][1:3]] == ["0", "1"]
    assert [entry.text for entry in plain("Models", models).rows[6][1][1:3]] == ["–", "–"]
    page = write(
        tmp_path / "report.html",
        title="t",
        answer=answer(pd.DataFrame(), pd.DataFrame()),
        study=Study("t", "?", "corrected", "-", [], [], cohorts, {}, models),
        parts=[],
        notes=notes,
        commands=[],
    ).read_text()
    assert "theirs was not trained here" in page
    assert (
        "silent was not trained here: its rows are under its own name. What it was trained on is unknown"
        in page
    )


def test_images_of_a_foreign_models_declared_training_data_count_as_leaks(with_theirs):
    """Every image of x, whichever was used; of a model of which nothing is said, nothing."""
    with with_theirs.engine.begin() as connection:
        warned = connection.execute(
            text("select model, test_dataset, n, n_image, n_patient, warning from leaking_models")
        ).all()
        (note, other) = results.foreign_notes(connection, "test")
        assert record_foreign(connection) == 0, "it was recorded when the model came"
        evaluations = connection.scalar(text("select count(*) from leaking_evaluations"))
    assert [tuple(row)[:5] for row in warned] == [("theirs", "x", 60, 60, 60)]
    assert evaluations == 1
    assert warned[0].warning == (
        "60 of 60 x test rows show an image, 60 a patient of x, which it is said to be trained on"
    )
    assert note == (
        "theirs was not trained here: its rows are under its own name (Doe 2026). It is said to be trained on "
        f"unheard-of, x; which images of them is unknown. {warned[0].warning}: what it scores there is flattered."
    )
    assert "unknown" in other
