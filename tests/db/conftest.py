"""Rows of every kind in a test's database, with defaults for what the test does not care about."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, create_engine, insert

from db.embedded import Server
from db.results import Analysis
from db.store import write_evaluation
from tests.conftest import copy_template

N_TASKS = 18
_numbers = itertools.count()


class Rows:
    """Adds rows; each call is a transaction of its own and returns the id."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._numbers = itertools.count(1)

    def add(self, table: str, **values: Any) -> Any:
        table_of = Analysis.metadata.tables[table]
        with self.engine.begin() as connection:
            result = connection.execute(insert(table_of).values(**values))
            return result.inserted_primary_key[0] if result.inserted_primary_key else None

    def site(self, name: str = "bethesda", synthetic: bool = False) -> int:
        return self.add("site", name=name, synthetic=synthetic)

    def images(
        self, site_id: int, names: Sequence[str], patients: Sequence[str | None] | None = None
    ) -> list[int]:
        return [
            self.add("image", site_id=site_id, name=name, patient=patient, path=f"/pictures/{name}.png")
            for name, patient in zip(names, patients or [None] * len(names), strict=True)
        ]

    def image_list(self, image_ids: Sequence[int]) -> int:
        digest = f"list {next(self._numbers)}"
        return self.add("image_list", content_hash=digest, length=len(image_ids), image_ids=list(image_ids))

    def dataset(self, name: str, site_id: int, image_list_id: int) -> int:
        return self.add(
            "dataset",
            name=name,
            site_id=site_id,
            image_list_id=image_list_id,
            source="csv",
            content_hash=name,
        )

    def protocol(self, name: str = "corrected", version: int = 1) -> int:
        return self.add("protocol", name=name, version=version, definition={})

    def cohort(
        self,
        dataset_id: int,
        protocol_id: int,
        image_list_id: int,
        labels: dict[int, list[int | None]],
        part: str = "test",
    ) -> int:
        cohort_id: int = self.add(
            "cohort",
            dataset_id=dataset_id,
            protocol_id=protocol_id,
            part=part,
            image_list_id=image_list_id,
            content_hash=f"{dataset_id}/{part}",
        )
        for task, vector in labels.items():
            counts = {"n_pos": vector.count(1), "n_neg": vector.count(0)}
            self.add("cohort_label", cohort_id=cohort_id, task_id=task, labels=vector, **counts)
        return cohort_id

    def model(
        self, protocol_id: int, tasks: Sequence[int], trained_on: Sequence[int] = (), seed: int = 0
    ) -> int:
        """A model with outputs trained for `tasks` on the cohorts `trained_on`."""
        name = f"model {next(self._numbers)}"
        model_id: int = self.add(
            "model",
            name=name,
            key=name,
            trained_on="nih",
            seed=seed,
            network="small",
            image_size=64,
            protocol_id=protocol_id,
            recipe={},
            mlflow_run_id=name,
            mlflow_model=name,
            mlflow_version=1,
            best_epoch=0,
            provenance={},
        )
        for position, task in enumerate(tasks):
            self.add("model_task", model_id=model_id, task_id=task, position=position)
        for cohort_id in trained_on:
            self.add("training_cohort", model_id=model_id, cohort_id=cohort_id)
        return model_id

    def evaluation(self, model_id: int, image_list_id: int, logits: dict[int, list[float]]) -> int:
        """Logits by task, through the store."""
        scores = np.array(list(logits.values()), dtype=np.float32).T
        with self.engine.begin() as connection:
            evaluation_id = write_evaluation(connection, model_id, image_list_id, scores, list(logits))
        assert evaluation_id is not None
        return evaluation_id


@pytest.fixture
def rows(engine: Engine) -> Rows:
    return Rows(engine)


@pytest.fixture(scope="module")
def shared_rows(server: Server, _template: str) -> Rows:
    """Rows in one migrated database for all tests of a file, which leave it as they find it."""
    url = copy_template(server, _template, f"shared_{next(_numbers)}")
    return Rows(create_engine(url))
