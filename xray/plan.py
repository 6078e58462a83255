"""A study in the database: which datasets and models it is made of, and how far it is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, select, text
from sqlalchemy.dialects.postgresql import insert

from db.findings import put_list
from db.queries import query
from db.schema import Dataset, Model, Site, StudyDataset, StudyModel
from db.schema import Study as StoredStudy
from xray.analyses.current import count_current
from xray.analyses.index import entries
from xray.data.cohorts import store_protocol
from xray.data.foreign_models import get_foreign
from xray.data.protocol import load_protocol
from xray.data.spelling import spelled
from xray.learning.request import ModelRequest, find_model, model_key
from xray.study import Study, read_study


@dataclass(frozen=True)
class Progress:
    """How far a study is: what it asks for, and what is there. Models: its own and the foreign ones that it names."""

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


def read_sited(connection: Connection, path: Path) -> Study:
    """The study of a file; a dataset that is registered and whose site the file does not say is of its registered site.

    Raises `StudyError` that names file and key.
    """
    study = read_study(path)
    rows = connection.execute(select(Dataset.name, Site.name).join(Site, Site.id == Dataset.site_id)).all()
    sites = {name: site for name, site in rows}
    datasets = tuple(
        dataset if dataset.site_stated else replace(dataset, site=sites.get(dataset.name, dataset.site))
        for dataset in study.datasets
    )
    return replace(study, datasets=datasets)


def requests(study: Study) -> list[ModelRequest]:
    """Every model that a study asks for, configuration by configuration, seed by seed."""
    return [
        ModelRequest(
            study.name,
            configuration.name,
            configuration.datasets,
            study.protocol,
            study.recipe,
            seed,
            configuration.tasks,
            configuration.where,
            configuration.findings,
        )
        for configuration in study.configurations()
        for seed in study.seeds
    ]


def record_study(connection: Connection, study: Study, model_ids: Sequence[int]) -> int:
    """Store what the study is made of now, models in the order given, then the foreign ones that it names; its id.

    Datasets that joined it later stay.
    Raises `ForeignModelError` where one of those was never imported.
    """
    protocol_id = store_protocol(connection, load_protocol(study.protocol))
    values = {"name": study.name, "definition": study.definition(), "protocol_id": protocol_id}
    model_ids = [*model_ids, *foreign_models(connection, study)]
    study_id = connection.scalar(
        insert(StoredStudy)
        .values(values)
        .on_conflict_do_update(
            index_elements=["name"], set_={k: values[k] for k in ("definition", "protocol_id")}
        )
        .returning(StoredStudy.id)
    )
    assert study_id is not None
    names = [dataset.name for dataset in study.datasets]
    rows = connection.execute(select(Dataset.name, Dataset.id).where(Dataset.name.in_(names)))
    ids = {row.name: row.id for row in rows}
    of_study = StudyDataset.study_id == study_id
    connection.execute(
        delete(StudyDataset).where(of_study, ~StudyDataset.guest | StudyDataset.dataset_id.in_(ids.values()))
    )
    connection.execute(delete(StudyModel).where(StudyModel.study_id == study_id))
    datasets = [{"study_id": study_id, "dataset_id": ids[n], "position": i} for i, n in enumerate(names)]
    models = [{"study_id": study_id, "model_id": m, "position": i} for i, m in enumerate(model_ids)]
    connection.execute(insert(StudyDataset), datasets)
    if models:
        connection.execute(insert(StudyModel), models)
    put_list(connection, "study", study_id, spelled(connection, study.findings))
    return study_id


def foreign_models(connection: Connection, study: Study) -> list[int]:
    """Ids of the foreign models that a study names. Raises `ForeignModelError` where one was never imported."""
    return [get_foreign(connection, name).id for name in study.foreign]


def _foreign_recorded(connection: Connection, study: Study) -> int | None:
    """How many of the foreign models that the study file names stand in the stored study; None where others do too."""
    stored = connection.scalars(
        select(Model.name)
        .join(StudyModel, StudyModel.model_id == Model.id)
        .join(StoredStudy, StoredStudy.id == StudyModel.study_id)
        .where(StoredStudy.name == study.name, Model.kind == "foreign")
    ).all()
    return len(stored) if set(stored) <= set(study.foreign) else None


def progress(connection: Connection, study: Study) -> Progress:
    """How far the study file is from being true."""
    names = [dataset.name for dataset in study.datasets]
    ready = connection.scalars(
        text(query("datasets_ready")), {"names": names, "protocol": load_protocol(study.protocol).name}
    ).all()
    models = requests(study)
    ids = [_trained(connection, request) for request in models]
    trained = [model_id for model_id in ids if model_id is not None]
    missing = connection.execute(
        text(query("study_progress")), {"study": study.name, "datasets": names, "models": trained}
    ).scalar_one()
    missing += _still_to_come(connection, study, list(zip(models, ids, strict=True)), ready)
    current = count_current(connection, study.name)
    foreign = _foreign_recorded(connection, study)
    if foreign is None:  # the last run named a foreign model that the file no longer does
        foreign, current = 0, 0
    return Progress(
        len(names),
        len(ready),
        len(models) + len(study.foreign),
        len(trained) + foreign,
        missing,
        current,
        len(entries()),
    )


def _trained(connection: Connection, request: ModelRequest) -> int | None:
    key = model_key(connection, request)
    return None if key is None else find_model(connection, key)


def _still_to_come(
    connection: Connection,
    study: Study,
    models: Sequence[tuple[ModelRequest, int | None]],
    ready: Collection[str],
) -> int:
    """Evaluations that can't be made yet: by models that are to be trained, and of datasets that are to be split.

    models: each with its id, None where it is not trained. A dataset that is not split yet counts as one test cohort, and
    as one list of all its images.
    """
    synthetic = {dataset.name: dataset.phantom is not None for dataset in study.datasets}
    parameters = {
        "study": study.name,
        "datasets": list(synthetic),
        "protocol": load_protocol(study.protocol).name,
    }
    rows = connection.execute(text(query("lists_to_score")), parameters).mappings()
    split = [dict(row) for row in rows if row["dataset"] in ready or row["dataset"] not in synthetic]
    unsplit = [
        {
            "dataset": name,
            "part": part,
            "image_list_id": (name, part),
            "synthetic": synthetic[name],
            "findings": None,
        }
        for name in synthetic.keys() - set(ready)
        for part in ("test", "all")
    ]
    return sum(
        len(_lists_of(request, study, unsplit if model_id is not None else [*split, *unsplit], synthetic))
        for request, model_id in models
    )


def _lists_of(
    request: ModelRequest, study: Study, lists: Sequence[dict[str, Any]], synthetic_of: Mapping[str, bool]
) -> set[Any]:
    """Image lists that a model will be scored on: test cohorts with its findings, drawn or real as its own datasets are."""
    synthetic = any(synthetic_of[name] for name in request.datasets)
    findings = set(request.tasks or request.findings)
    tests = {
        row["image_list_id"]
        for row in lists
        if row["part"] == "test"
        and row["synthetic"] == synthetic
        and (row["findings"] is None or findings.intersection(row["findings"]))
    }
    features_of = study.features if request.seed == study.seeds[0] else ()
    return tests | {
        row["image_list_id"] for row in lists if row["part"] == "all" and row["dataset"] in features_of
    }


def join_guests(connection: Connection) -> None:
    """Let datasets that came after a study join its test datasets: those that its models were scored on."""
    connection.execute(text(query("join_guests")))


def scored_studies(connection: Connection) -> list[str]:
    """Names of the studies of which anything is scored."""
    return list(connection.scalars(text(query("scored_studies"))))


def stale_studies(connection: Connection) -> list[str]:
    """Those of them whose results are not those of their present evaluations."""
    names = scored_studies(connection)
    return [name for name in names if count_current(connection, name) < len(entries())]


def file_of(connection: Connection, name: str) -> str | None:
    """The file that a study was last run from, as that machine named it."""
    definition = connection.scalar(select(StoredStudy.definition).where(StoredStudy.name == name))
    return None if definition is None else definition.get("file")
