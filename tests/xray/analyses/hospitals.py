"""A study of three hospitals in a database, its stored results, and whether they are those of computing all anew."""

from copy import copy, deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sqlalchemy import Engine, text
from statsmodels.stats.multitest import multipletests

from xray.analyses.run import ANALYSES, run_all
from xray.data.foreign_models import add_foreign
from xray.data.operating_points import declare

if TYPE_CHECKING:
    from tests.xray.analyses.conftest import World

TASKS = ("Effusion", "Mass", "Edema")
Cells = dict[tuple[str, tuple[str, ...]], str]
Rows = dict[str, list[dict[str, Any]]]


def cells(engine: Engine) -> Cells:
    """(analysis, cell) → the id under which its rows are stored; of what others are put together from, who wrote it."""
    with engine.begin() as connection:
        rows = connection.execute(
            text(
                "select name, cell, id::text from analysis"
                " union all select 'parts of ' || name, cell, xmin::text from partial_result"
            )
        ).all()
    return {(row.name, tuple(row.cell)): row.id for row in rows}


def rows(engine: Engine) -> Rows:
    """Analysis → its rows in order, every number as it is stored, without the ids of rows."""
    with engine.begin() as connection:
        return {
            analysis.name: list(
                connection.scalars(
                    text(
                        f"select to_jsonb(r) - 'id' - 'analysis_id' from {analysis.table.__tablename__} as r"
                        " join analysis on analysis.id = r.analysis_id where analysis.name = :name order by place, r.id"
                    ),
                    {"name": analysis.name},
                )
            )
            for analysis in ANALYSES
        }


def scores(rng: np.random.Generator, truth: dict[str, np.ndarray], skill: float) -> dict[str, np.ndarray]:
    """Logits of 60 images, some tied; a few are missing."""
    logits = {
        task: np.round(skill * np.nan_to_num(of) + rng.normal(size=60), 1) for task, of in truth.items()
    }
    logits["Effusion"][rng.integers(0, 60, 3)] = np.nan
    return logits


class Hospitals:
    """A study of three datasets, two with several images per patient: each one's own models, and models of all."""

    def __init__(self, world: "World", only: np.ndarray | None = None) -> None:
        """only: the images that there are of the 60 of each dataset, bool (60,)."""
        self.world, self.rng = world, np.random.default_rng(11)
        self.only = np.ones(60, bool) if only is None else only
        self.truth: dict[str, dict[str, np.ndarray]] = {}
        self.models: list[tuple[int, list[str]]] = []
        for name, per_patient in (("x", 1), ("y", 2), ("z", 3)):
            self.add_dataset(name, per_patient)
        for trained_on, datasets in (*((name, [name]) for name in "xyz"), ("all", ["x", "y", "z"])):
            for seed in (0, 1):
                self.add_model(trained_on, seed, datasets)
        self.study = world.study(list("xyz"), [model for model, _ in self.models])
        with world.engine.begin() as connection:
            connection.execute(text("update study set protocol_id = (select id from protocol)"))

    def at(self, engine: Engine) -> "Hospitals":
        """The same in a copy of the database that they are in."""
        other = copy(self)
        other.world = replace(self.world, engine=engine, n_images=dict(self.world.n_images))
        other.rng, other.truth, other.models = deepcopy(self.rng), dict(self.truth), list(self.models)
        return other

    def add_dataset(self, name: str, per_patient: int, *others: str) -> None:
        """others: findings that are labelled here, and that no model was trained for."""
        truth = {task: (self.rng.random(60) < 0.4).astype(float) for task in TASKS}
        truth["Mass"][:6] = np.nan
        self.truth[name] = truth
        labels = truth | dict.fromkeys(others, np.ones(60))
        self.world.dataset(name, labels, images_per_patient=per_patient, only=self.only)
        for model, datasets in self.models:
            self.score(model, name, datasets)

    def add_model(self, trained_on: str, seed: int, datasets: list[str]) -> int:
        model = self.world.model(trained_on, seed, datasets, TASKS)
        self.models.append((model, datasets))
        for name in self.truth:
            self.score(model, name, datasets)
        return model

    def score(self, model: int, name: str, datasets: list[str]) -> None:
        logits = scores(self.rng, self.truth[name], 1.5 if name in datasets else 0.7)
        self.world.score(model, name, {task: values[self.only] for task, values in logits.items()})

    def one_more_seed(self) -> None:
        self.world.add_models(self.study, [self.add_model("y", 2, ["y"])], first=100)

    def one_more_dataset(self) -> None:
        """Registered later, tested on only, and labelled for a finding more."""
        self.add_dataset("w", 2, "Hernia")
        with self.world.engine.begin() as connection:
            connection.execute(
                text(
                    "insert into study_dataset (study_id, dataset_id, position, guest)"
                    " select :study, id, 3, true from dataset where name = 'w'"
                ),
                {"study": self.study},
            )

    def score_again(self, name: str) -> None:
        """The first model of a dataset scores its own images again, otherwise."""
        model = next(model for model, datasets in self.models if datasets == [name])
        with self.world.engine.begin() as connection:
            connection.execute(
                text(
                    "delete from evaluation using cohort join dataset on dataset.id = cohort.dataset_id"
                    " where evaluation.image_list_id = cohort.image_list_id and cohort.part = 'test'"
                    " and evaluation.model_id = :model and dataset.name = :name"
                ),
                {"model": model, "name": name},
            )
        self.score(model, name, [name])

    def one_more_from_elsewhere(self) -> None:
        with self.world.engine.begin() as connection:
            model = add_foreign(connection, "theirs", {"kind": "scores"}, list(TASKS), None)
            declare(connection, "theirs", {"Effusion": 0.25}, "logit")
        for name in self.truth:
            self.score(model, name, [])
        self.world.add_models(self.study, [model], first=100)


def adjusted(rows: list[dict[str, Any]]) -> None:
    """p values are adjusted over the whole study, or over a grouping in it."""
    tested = [row for row in rows if row["p"] is not None]
    assert len({row.get("grouping") for row in tested}) < len(tested)
    for grouping in {row.get("grouping") for row in tested}:
        family = [row for row in tested if row.get("grouping") == grouping]
        p = [row["p"] for row in family]
        assert [row["p_holm"] for row in family] == pytest.approx(multipletests(p, method="holm")[1])
        if grouping is not None:
            assert [row["q"] for row in family] == pytest.approx(multipletests(p, method="fdr_bh")[1])


def computed(engine: Engine, before: Cells) -> set[tuple[str, tuple[str, ...]]]:
    """Bring results up to date; the cells that were computed. The results are those of computing all of them anew."""
    run_all(engine, "test")
    now, content = cells(engine), rows(engine)
    with engine.begin() as connection:
        connection.execute(text("update analysis set fingerprint = ''"))
        connection.execute(text("delete from partial_result"))
    assert all(run_all(engine, "test").values())
    assert_equal(content, rows(engine))
    return {key for key, number in now.items() if before.get(key) != number}


def assert_equal(content: Rows, anew: Rows) -> None:
    """Results are those of computing all anew, whose p values are adjusted."""
    for name, of in anew.items():
        assert content[name] == of, f"{name} is not what it is when all is computed anew"
    assert sum(map(len, anew.values())) > 500
    for name in ("mean_auc", "leave_one_site_out", "subgroups"):
        adjusted(anew[name])
