"""A database with rows in every table, made from the metadata: whatever table or column is added, it has rows here too."""

from typing import Any

from sqlalchemy import ARRAY, Boolean, Column, Table, insert, select, text
from sqlalchemy.dialects.postgresql import JSONB

from db.results import Analysis
from tests.db.conftest import Rows

TASKS = {0: [1, 0, 1, 0], 8: [None, 1, 0, 1]}


def fill(rows: Rows) -> None:
    """Rows in every table: two datasets, cohorts, trained and foreign models that scored them, results of every kind."""
    site = rows.site()
    images = rows.images(site, [f"i{n}" for n in range(8)], [f"p{n}" for n in range(8)])
    train, test = rows.image_list(images[:4]), rows.image_list(images[4:])
    whole = rows.image_list(images)
    protocol = rows.protocol()
    for name in ("guest", "nih"):
        dataset = rows.dataset(name, site, whole)
        training = rows.cohort(dataset, protocol, train, TASKS, "train")
        cohort = rows.cohort(dataset, protocol, test, TASKS)
        rows.add("label", dataset_id=dataset, task_id=8, states=[1, 0, -1, -2, 1, 0, 1, 0], term_ids=None)
        for reader in ("a", "b"):
            number = rows.add("reader", dataset_id=dataset, name=reader)
            rows.add("reader_label", reader_id=number, task_id=8, states=[1, 0, -1, -2, 1, 0, 1, 0])
        with rows.engine.begin() as connection:
            connection.execute(
                text("update dataset set reader_rule = 'majority' where id = :id"), {"id": dataset}
            )
        codes = [1, 2, 1, 2, 1, 1, 2, 2]
        rows.add(
            "native_column", dataset_id=dataset, name="View", position=0, terms=["PA", "AP"], codes=codes
        )
    models = [rows.model(protocol, [0, 8], [training], seed) for seed in (0, 1)]
    models.append(foreign(rows))
    scores = {0: [0.5, -0.5, 1.0, float("nan")], 8: [0.25, 2.0, -2.0, 0.0]}
    evaluations = [rows.evaluation(model, test, scores) for model in models]
    with rows.engine.begin() as connection:
        features = [
            {"evaluation_id": evaluations[0], "position": position, "features": [0.5, 1.5]}
            for position in range(1, 5)
        ]
        connection.execute(insert(Analysis.metadata.tables["feature"]), features)
    study = rows.add("study", name="paper", protocol_id=protocol, definition={})
    for position, (name, guest) in enumerate((("nih", False), ("guest", True))):
        number = one(rows, "select id from dataset where name = :name", name=name)
        rows.add("study_dataset", study_id=study, dataset_id=number, position=position, guest=guest)
    for view in ("lateral", "AP"):
        analysis = one(rows, "select max(id) from analysis") or analysis_of(rows, study, "view_classifier")
        rows.add("view_classifier", analysis_id=analysis, evaluation_id=evaluations[0], trained_on="nih", seed=0,
                 told=view, n=4, n_pos=2, method="logistic")  # fmt: skip
    for table in Analysis.metadata.sorted_tables:
        if issubclass_of_results(table):
            analysis = analysis_of(rows, study, table.name)
            for number, evaluation in enumerate((evaluations[0], evaluations[2])):
                values = generic(rows, table, number) | cells(table, cohort, evaluation)
                rows.add(table.name, **values | {"analysis_id": analysis})
    rows.add("recalibration", model_id=models[0], task_id=8, version=1, cohort_id=cohort, method="logistic", intercept=-1.0,
             slope=0.5, n=3, n_pos=2, fingerprint="of labels and logits")  # fmt: skip
    intervention(rows, evaluations[0], test)
    worklist = rows.add("worklist", name="doubtful", task_id=8)
    rows.add("worklist_image", worklist_id=worklist, position=1, image_id=images[4])
    rows.add("worklist_read", worklist_id=worklist, position=1, reader="anna", answer="unsure")
    for table in Analysis.metadata.sorted_tables:
        if not one(rows, f'select count(*) from "{table.name}"'):
            rows.add(table.name, **generic(rows, table, 0))


def intervention(rows: Rows, evaluation: int, target: int, kind: str = "noise") -> int:
    """An evaluation's images scored again as if they were the target's."""
    tables = Analysis.metadata.tables
    statement = insert(tables["intervention_evaluation"]).values(
        evaluation_id=evaluation,
        target_list_id=target,
        kind=kind,
        changes={"noise_added": 2.5},
        seed=0,
        version=1,
        pictures="p",
    )
    with rows.engine.begin() as connection:
        number = connection.scalar(statement.returning(tables["intervention_evaluation"].c.id))
        assert number is not None
        scores = [
            {"intervention_id": number, "task_id": task, "logits": [0.5, -0.5, 0.25, float("nan")]}
            for task in TASKS
        ]
        connection.execute(insert(tables["intervention_score"]), scores)
    return int(number)


def foreign(rows: Rows) -> int:
    """A model from elsewhere, of which only scores are here."""
    model: int = rows.add("model", name="theirs", key="theirs", kind="foreign", trained_on="theirs", card={"name": "theirs"},
                          provenance={}, trained_at=None)  # fmt: skip
    for position, task in enumerate(TASKS):
        rows.add("model_task", model_id=model, task_id=task, position=position)
    return model


def analysis_of(rows: Rows, study: int, name: str) -> int:
    row_id: int = rows.add("analysis", study_id=study, name=name, fingerprint=f"of {name}")
    return row_id


def issubclass_of_results(table: Table) -> bool:
    return "analysis_id" in table.columns and table.name != "view_classifier"


def cells(table: Table, cohort: int, evaluation: int) -> dict[str, Any]:
    """What a result row came from, as far as its table says so."""
    parameters = {"cohort_id": cohort, "evaluation_id": evaluation, "evaluation_ids": [evaluation]}
    return {name: value for name, value in parameters.items() if name in table.columns}


def generic(rows: Rows, table: Table, number: int) -> dict[str, Any]:
    """A value for every column that must have one; what refers to another table takes a row that is there."""
    return {
        column.name: value(rows, column, number)
        for column in table.columns
        if not column.server_default and not made_by_the_database(column)
        and (not column.nullable or column.foreign_keys)
    }  # fmt: skip


def made_by_the_database(column: Column[Any]) -> bool:
    numbered = column.autoincrement is True or (column.name == "id" and column.type.python_type is int)
    return column.primary_key and numbered


def value(rows: Rows, column: Column[Any], number: int) -> Any:
    for key in column.foreign_keys:
        with rows.engine.connect() as connection:
            keys = connection.scalars(select(key.column).order_by(key.column)).all()
            return keys[number % len(keys)]
    if isinstance(column.type, ARRAY):
        return [number]
    if isinstance(column.type, JSONB):
        return {}
    if isinstance(column.type, Boolean):
        return bool(number)
    return f"{column.name} {number}" if column.type.python_type is str else number


def one(rows: Rows, query: str, **parameters: Any) -> Any:
    with rows.engine.connect() as connection:
        return connection.scalar(text(query), parameters)
