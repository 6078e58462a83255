"""A study in the database: which datasets and models it is made of, and how far it is."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, text
from sqlalchemy.dialects.postgresql import insert

from db.queries import query
from db.schema import Dataset, StudyDataset, StudyModel
from db.schema import Study as StoredStudy
from xray.analyses.run import ANALYSES, count_current
from xray.data.protocol import load_protocol
from xray.learning.request import ModelRequest, find_model, model_key
from xray.study import Study


@dataclass(frozen=True)
class Progress:
    """How far a study is: what it asks for, and what is there."""

    datasets: int
    datasets_ready: int
    models: int
    models_trained: int
    evaluations_missing: int
    analyses_current: int
    analyses: int

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return (
            self.datasets_ready == self.datasets
            and self.models_trained == self.models
            and self.evaluations_missing == 0
            and self.analyses_current == self.analyses
        )


def requests(study: Study) -> list[ModelRequest]:
    """Every model that a study asks for, configuration by configuration, seed by seed."""
    return [
        ModelRequest(
            study.name,
            each.name,
            each.datasets,
            study.protocol,
            study.recipe,
            seed,
            each.tasks,
            each.where,
        )
        for each in study.configurations()
        for seed in study.seeds
    ]


def record_study(connection: Connection, study: Study, model_ids: Sequence[int]) -> int:
    """Store what the study is made of now, models in the order given; its id."""
    values = {"name": study.name, "definition": study.definition()}
    study_id = connection.scalar(
        insert(StoredStudy)
        .values(values)
        .on_conflict_do_update(index_elements=["name"], set_={"definition": values["definition"]})
        .returning(StoredStudy.id)
    )
    assert study_id is not None
    names = [dataset.name for dataset in study.datasets]
    found = connection.execute(select(Dataset.name, Dataset.id).where(Dataset.name.in_(names)))
    ids = {row.name: row.id for row in found}
    connection.execute(delete(StudyDataset).where(StudyDataset.study_id == study_id))
    connection.execute(delete(StudyModel).where(StudyModel.study_id == study_id))
    datasets = [{"study_id": study_id, "dataset_id": ids[n], "position": i} for i, n in enumerate(names)]
    models = [{"study_id": study_id, "model_id": m, "position": i} for i, m in enumerate(model_ids)]
    connection.execute(insert(StudyDataset), datasets)
    if models:
        connection.execute(insert(StudyModel), models)
    return study_id


def progress(connection: Connection, study: Study) -> Progress:
    """How far the study file is from being true."""
    names = [dataset.name for dataset in study.datasets]
    ready = connection.scalars(
        text(query("datasets_ready")), {"names": names, "protocol": load_protocol(study.protocol).name}
    ).all()
    asked = requests(study)
    keys = [key for each in asked if (key := model_key(connection, each)) is not None]
    trained = sum(find_model(connection, key) is not None for key in keys)
    missing = connection.execute(text(query("study_progress")), {"study": study.name}).scalar_one()
    current = count_current(connection, study.name)
    return Progress(len(names), len(ready), len(asked), trained, missing, current, len(ANALYSES))
