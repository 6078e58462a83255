"""What a study comes to, as digests that must be equal whatever happened on the way, and rows that must not be."""

import hashlib
import json
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from safetensors.numpy import load_file
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from db.connection import Databases

CHANGING: Final = (
    "model",
    "evaluation_ids",
    "cohort_ids",
    "position",
    "computed_at",
    "model_id",
    "study_id",
    "id",
    "provenance",
    "created_at",
)
"""Columns of ids and times; a model's name ends in its version, which is 2 where a run was killed before it noted 1."""
FEW: Final = 500
OTHER: Final = ("predictions", "labels", "missing_evaluations")
LOGITS: Final = """
select model.key, image_list.content_hash, task.name, md5(prediction.logits::text)
from prediction join evaluation on evaluation.id = evaluation_id join model on model.id = model_id
join image_list on image_list.id = image_list_id join task on task.id = task_id order by 1, 2, 3
"""
AUDITS: Final = {
    "a vector of another length than its image list": """
        select 1 from prediction join evaluation e on e.id = evaluation_id join image_list l on l.id = e.image_list_id
        where cardinality(logits) <> cardinality(l.image_ids)""",
    "an evaluation without predictions": """
        select 1 from evaluation e where not exists (select from prediction where evaluation_id = e.id)""",
    "two evaluations of one model and list": """
        select 1 from evaluation group by model_id, image_list_id having count(*) > 1""",
    "two models of one key": "select 1 from model group by key having count(*) > 1",
    "two datasets of one name": "select 1 from dataset group by name having count(*) > 1",
}
"""Asked where this xray has no `xray db check` yet."""
MLFLOW: Final = {
    "runs": "select name, status from runs where lifecycle_stage = 'active' order by name, status",
    "versions": """select v.name, count(*) from model_versions v join runs r on r.run_uuid = v.run_id
        where v.current_stage <> 'Deleted_Internal' group by v.name order by v.name""",
    "aliases": "select name, alias from registered_model_aliases order by name, alias",
}
FILES: Final = """
select m.mlflow_model, m.mlflow_version from model m order by key
"""


def digests(databases: Databases, home: Path, study: str) -> dict[str, Any]:
    """Name → what must be equal: result views, scores, row counts, MLflow's runs and versions, weights, figures."""
    texts: dict[str, Any] = {}
    with databases.engine().connect() as connection:
        for view in _views(connection):
            texts[f"view {view}"] = _digest(connection, view)
        texts["logits"] = [list(row) for row in connection.execute(text(LOGITS))]
        texts["rows"] = _counts(connection)
        texts["at fault"] = [
            name for name, query in AUDITS.items() if connection.execute(text(query)).first()
        ]
        models = [tuple(row) for row in connection.execute(text(FILES))]
    with closing(create_engine(databases.mlflow, poolclass=NullPool).connect()) as connection:
        for name, query in MLFLOW.items():
            texts[f"mlflow {name}"] = [list(row) for row in connection.execute(text(query))]
        texts["weights"] = [_weights(connection, *model) for model in models]
    texts["files"] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((home / "reports" / study).iterdir())
        if path.suffix != ".html"  # the page names the time
    }
    return dict(json.loads(json.dumps(texts)))


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What is not equal, with the first rows of it that the other lacks."""
    faults = []
    for name in sorted(one.keys() | other.keys()):
        first, second = one.get(name), other.get(name)
        if first != second:
            rows = (
                [row for row in first if row not in second]
                if isinstance(first, list) and isinstance(second, list)
                else []
            )
            faults.append(f"{name} {rows[:2]}")
    return faults


def _views(connection: Connection) -> list[str]:
    names = connection.scalars(text("select viewname from pg_views where schemaname = 'public' order by 1"))
    return [name for name in names if name.endswith("_results") or name in OTHER]


def _digest(connection: Connection, view: str) -> list[Any]:
    """Number of rows and a hash of their texts, in which numbers are exact; of few rows the texts themselves."""
    columns = connection.scalars(
        text(
            "select column_name from information_schema.columns where table_name = :view order by ordinal_position"
        ),
        {"view": view},
    )
    listed = ", ".join(f'"{name}"' for name in columns if name not in CHANGING)
    query = f"""select count(*), md5(string_agg(row::text, E'\\n' order by row::text collate "C")),
            array_agg(row::text order by row::text collate "C")
        from (select {listed} from {view}) as row"""  # noqa: S608  (names from the catalogue)
    count, digest, rows = connection.execute(text(query)).one()
    return list(rows or []) if count <= FEW else [count, digest]


def _counts(connection: Connection) -> dict[str, int]:
    tables = connection.scalars(
        text("select tablename from pg_tables where schemaname = 'public' order by 1")
    ).all()
    counts = {table: connection.scalar(text(f'select count(*) from "{table}"')) for table in tables}  # noqa: S608  (as above)
    return {table: int(count or 0) for table, count in counts.items()}


def _weights(connection: Connection, model: str, version: int) -> str:
    """A hash of the tensors of a registered version. Not of the file: the entries of its header are in any order."""
    query = "select storage_location from model_versions where name = :name and version = :version"
    location = str(connection.scalar(text(query), {"name": model, "version": version}))
    (file,) = Path(location.removeprefix("file://").replace("%20", " ")).rglob("*.safetensors")
    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(file).items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode() + tensor.tobytes())
    return digest.hexdigest()
