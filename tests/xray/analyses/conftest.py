"""A small study in a real database, whose labels and logits a test gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine, create_engine, insert, select
from sqlalchemy.pool import NullPool

from db.embedded import Server
from db.findings import put_list
from db.schema import (
    Cohort,
    CohortLabel,
    Dataset,
    Image,
    Model,
    Protocol,
    Site,
    StudyDataset,
    StudyModel,
    TrainingCohort,
)
from db.schema import Study as StoredStudyRow
from db.store import list_hash, put_image_list, write_evaluation
from tests.conftest import copy_template
from tests.xray.analyses.hospitals import Hospitals
from xray.analyses.run import run_all
from xray.data.request import DatasetRequest
from xray.learning.recipe import Recipe
from xray.study import Configuration, Study
from xray.tasks import TASK_INDEX, TASKS

Columns = dict[str, Sequence[float] | NDArray[np.floating]]


def matrix(columns: Columns, n: int) -> NDArray[np.float32]:
    """(n, n_tasks): the columns given by task name, NaN elsewhere."""
    whole = np.full((n, len(TASKS)), np.nan, np.float32)
    for task, values in columns.items():
        whole[:, TASK_INDEX[task]] = values
    return whole


@dataclass
class World:
    """Builds a study row by row."""

    engine: Engine
    n_images: dict[str, int] = field(default_factory=dict)
    _n_models: int = 0

    def dataset(
        self,
        name: str,
        labels: Columns,
        site: str | None = None,
        like: str | None = None,
        images_per_patient: int = 1,
        only: NDArray[np.bool_] | None = None,
    ) -> None:
        """A dataset with one test cohort and one training cohort; `like` names one whose images it shares.

        Sexes are M and F in turn, ages 10, 11, …; no view is known. only: the images that there are, of those that would be.
        """
        positions = range(len(next(iter(labels.values())))) if only is None else np.flatnonzero(only).tolist()
        n = len(positions)
        self.n_images[name] = n
        with self.engine.begin() as connection:
            site_id = connection.scalar(select(Site.id).where(Site.name == (site or name)))
            if site_id is None:
                site_id = connection.scalar(insert(Site).values(name=site or name).returning(Site.id))
            if like is None:
                rows = [
                    {
                        "site_id": site_id,
                        "name": f"{name}-{part}{k}",
                        "patient": f"{name}-{part}{k // images_per_patient}",
                        "sex": "MF"[k % 2],
                        "age": 10 + k,
                    }
                    for part, numbers in (("test", positions), ("train", range(2)))
                    for k in numbers
                ]
                inserted = connection.scalars(insert(Image).returning(Image.id), rows).all()
                ids = np.array(inserted, dtype=np.int32)
                lists = {
                    "test": put_image_list(connection, list_hash([name, "test"]), ids[:n]),
                    "train": put_image_list(connection, list_hash([name, "train"]), ids[n:]),
                }
            else:
                cohorts = select(Cohort.part, Cohort.image_list_id).join(Dataset).where(Dataset.name == like)
                lists = {row.part: row.image_list_id for row in connection.execute(cohorts)}
            protocol = connection.scalar(select(Protocol.id))
            if protocol is None:
                statement = insert(Protocol).values(name="corrected", version=1, definition={})
                protocol = connection.scalar(statement.returning(Protocol.id))
            described = {"site_id": site_id, "source": "manifest", "content_hash": name}
            dataset_id = connection.scalar(
                insert(Dataset)
                .values(name=name, image_list_id=lists["test"], **described)
                .returning(Dataset.id)
            )
            for part, listed in lists.items():
                cohort_id = connection.scalar(
                    insert(Cohort)
                    .values(
                        dataset_id=dataset_id,
                        protocol_id=protocol,
                        part=part,
                        image_list_id=listed,
                        content_hash=f"{name} {part}",
                    )
                    .returning(Cohort.id)
                )
                if part == "test":
                    for task, values in labels.items():
                        own = np.asarray(values)[list(positions)]
                        vector = [None if np.isnan(v) else int(v) for v in own]
                        connection.execute(
                            insert(CohortLabel).values(
                                cohort_id=cohort_id,
                                task_id=TASK_INDEX[task],
                                labels=vector,
                                n_pos=vector.count(1),
                                n_neg=vector.count(0),
                            )
                        )

    def model(self, trained_on: str, seed: int, datasets: Sequence[str], tasks: Sequence[str]) -> int:
        """A model that was trained on the training cohorts of these datasets; its id."""
        self._n_models += 1
        with self.engine.begin() as connection:
            model_id = connection.scalar(
                insert(Model)
                .values(
                    name=f"test.{trained_on}/{self._n_models}",
                    key=f"key {self._n_models}",
                    trained_on=trained_on,
                    seed=seed,
                    network="small_convnet",
                    image_size=16,
                    protocol_id=connection.scalar(select(Protocol.id)),
                    recipe={},
                    mlflow_run_id=f"run {self._n_models}",
                    mlflow_model=f"test.{trained_on}",
                    mlflow_version=self._n_models,
                    best_epoch=0,
                    provenance={},
                )
                .returning(Model.id)
            )
            assert model_id is not None
            put_list(connection, "model", model_id, tasks)
            cohorts = connection.scalars(
                select(Cohort.id).join(Dataset).where(Dataset.name.in_(datasets), Cohort.part == "train")
            ).all()
            rows = [{"model_id": model_id, "cohort_id": cohort} for cohort in cohorts]
            connection.execute(insert(TrainingCohort), rows)
        return model_id

    def score(self, model_id: int, dataset: str, logits: Columns) -> int:
        """Store what a model says of the test cohort of a dataset; outputs not given are untrained. The evaluation's id."""
        whole = matrix(logits, self.n_images[dataset])
        outputs = [index if task in logits else None for index, task in enumerate(TASKS)]
        with self.engine.begin() as connection:
            listed = connection.scalar(
                select(Cohort.image_list_id)
                .join(Dataset)
                .where(Dataset.name == dataset, Cohort.part == "test")
            )
            evaluation_id = write_evaluation(connection, model_id, listed, whole, outputs)
        assert evaluation_id is not None
        return evaluation_id

    def study(self, datasets: Sequence[str], models: Sequence[int], name: str = "test") -> int:
        """Record the study; its id."""
        with self.engine.begin() as connection:
            study_id = connection.scalar(
                insert(StoredStudyRow).values(name=name, definition={}).returning(StoredStudyRow.id)
            )
            assert study_id is not None
            for position, dataset in enumerate(datasets):
                dataset_id = connection.scalar(select(Dataset.id).where(Dataset.name == dataset))
                connection.execute(
                    insert(StudyDataset).values(study_id=study_id, dataset_id=dataset_id, position=position)
                )
        self.add_models(study_id, models)
        return study_id

    def add_models(self, study_id: int, models: Sequence[int], first: int = 0) -> None:
        """Add models to a recorded study."""
        with self.engine.begin() as connection:
            for position, model_id in enumerate(models, first):
                connection.execute(
                    insert(StudyModel).values(study_id=study_id, model_id=model_id, position=position)
                )


@pytest.fixture
def world(engine: Engine) -> World:
    """An empty world on a database of its own."""
    return World(engine)


@pytest.fixture
def two_sites(world: World) -> World:
    """Sites x and y: each one's own model with two seeds, one of all, one of all but each (the other one's own).

    Effusion is labelled at both, Mass at x only, Edema at both but always 0 at y, Hernia at y for no image of a class but 1.
    """
    rng = np.random.default_rng(5)
    n = 60
    effusion = (rng.random((2, n)) < 0.4).astype(float)
    effusion[0, :5] = np.nan
    mass = (rng.random(n) < 0.3).astype(float)
    edema = (rng.random(n) < 0.3).astype(float)
    world.dataset("x", {"Effusion": effusion[0], "Mass": mass, "Edema": edema})
    world.dataset("y", {"Effusion": effusion[1], "Edema": np.zeros(n)})
    tasks = {"x": ["Effusion", "Mass", "Edema"], "y": ["Effusion"], "all": ["Effusion", "Mass", "Edema"]}
    models = []
    for trained_on, datasets in (("x", ["x"]), ("y", ["y"]), ("all", ["x", "y"])):
        for seed in (0, 1):
            model = world.model(trained_on, seed, datasets, tasks[trained_on])
            models.append(model)
            for dataset, truth in (("x", effusion[0]), ("y", effusion[1])):
                skill = 1.5 if dataset in datasets else 0.5
                logits = {
                    "Effusion": skill * np.nan_to_num(truth) + rng.normal(size=n),
                    "Mass": (skill * mass if dataset == "x" else 0) + rng.normal(size=n),
                    "Edema": np.round(2 * rng.normal(size=n)),
                }
                world.score(model, dataset, {task: logits[task] for task in tasks[trained_on]})
    world.study(["x", "y"], models)
    return world


@pytest.fixture(scope="session")
def built(server: Server, _template: str) -> Hospitals:
    """Of whom nothing was computed, in a database of which others are copies: nobody may stay connected to it."""
    return Hospitals(World(create_engine(copy_template(server, _template, "hospitals"), poolclass=NullPool)))


@pytest.fixture(scope="session")
def analysed(server: Server, built: Hospitals) -> Hospitals:
    """The same, of whom one process has computed all."""
    url = copy_template(server, "hospitals", "hospitals_analysed")
    sites = built.at(create_engine(url, poolclass=NullPool))
    run_all(sites.world.engine, "test")
    return sites


@pytest.fixture
def study_file() -> Callable[[Path], Study]:
    """Makes the study of `two_sites` as a file in a folder would say it, for the report."""

    def read(folder: Path) -> Study:
        requests = tuple(DatasetRequest(name, name, "manifest", None, None, None) for name in "xy")
        study = Study(
            folder / "x.toml",
            "test",
            "A test",
            "Why?",
            "corrected",
            requests,
            ("each", "all"),
            (0, 1),
            Recipe(),
        )
        assert study.configurations()[-1] == Configuration("all", ("x", "y"))
        return study

    return read
