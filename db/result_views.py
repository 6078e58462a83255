"""The view of each result table: its rows by names, made from the table, so that a new table has one by itself.

Grain of view `TABLE_results`: a row per row of TABLE. Ids become names: cohort_id the columns test_dataset, (cohort_a_id,
cohort_b_id) train_dataset and test_dataset, dataset_id dataset, task_id task, task_ids tasks, image_id site, image and view.
Every other column stands as it is. Beside them: study, computed_at, what to sort by in the study's order (task_position,
train_position, dataset_position, position), and `warning`: what the models behind a row saw of its test cohort in training
(see leaking_evaluations), NULL where nothing is known of it.
"""

from typing import Final

from sqlalchemy import Table

from db.results import Analysis

LEADING: Final = ("trained_on", "trained_on_a", "trained_on_b", "reference")
TRAILING: Final = ("reason", "method", "evaluation_ids", "evaluation_id")
DATASETS: Final = {
    "cohort_id": ("test_dataset", "dataset_position"),
    "cohort_a_id": ("train_dataset", "train_position"),
    "cohort_b_id": ("test_dataset", "dataset_position"),
    "dataset_id": ("dataset", "dataset_position"),
}
TASKS: Final = (
    "array(select task.name from task left join study_task as listed on listed.study_id = study.id and"
    " listed.task_id = task.id where task.id = any(r.task_ids) order by listed.position, task.id) as tasks"
)

POSITION: Final = "(analysis.place::bigint << 40) + r.id as position"
"""By the cell's place in the study, whenever it was computed, and then as the rows were written."""


def tables() -> list[Table]:
    """The tables of results: all whose rows belong to an analysis, in the order in which they are defined."""
    return [table for table in Analysis.metadata.sorted_tables if "analysis_id" in table.columns]


def scripts() -> list[str]:
    """A statement for each result table that makes its view."""
    return [_view(table) for table in sorted(tables(), key=lambda table: table.name)]


def _view(table: Table) -> str:
    columns = [column.name for column in table.columns]
    joins = ["join analysis on analysis.id = r.analysis_id", "join study on study.id = analysis.study_id"]
    names, positions = [], ["analysis.computed_at", POSITION]
    for column, (name, position) in DATASETS.items():
        if column in columns:
            names.append(f"{name}.name as {name}")
            positions.append(f"in_{name}.position as {position}")
            joins += _dataset(column, name)
    if "task_id" in columns:
        names.append("task.name as task")
        positions.append("coalesce(in_task.position, task.id) as task_position")
        joins.append("join task on task.id = r.task_id")
        joins.append(
            "left join study_task as in_task on in_task.study_id = study.id and in_task.task_id = task.id"
        )
    if "task_ids" in columns:
        names.append(TASKS)
    if "image_id" in columns:
        names += ["site.name as site", "image.name as image", "image.view"]
        joins += ["join image on image.id = r.image_id", "join site on site.id = image.site_id"]
    hidden = {"id", "analysis_id", "task_id", "task_ids", "image_id", *DATASETS}
    own = [name for name in columns if name not in hidden]
    leading, trailing = ([f"r.{n}" for n in order if n in own] for order in (LEADING, TRAILING))
    rest = [f"r.{name}" for name in own if name not in (*LEADING, *TRAILING)]
    selected = ["study.name as study", *leading, *names, *rest, *trailing, *positions, *_warning(columns)]
    return (
        f"create or replace view {table.name}_results as\nselect {', '.join(selected)}\n"
        f"from {table.name} as r\n" + "\n".join(joins) + ";\n"
    )


def _dataset(column: str, name: str) -> list[str]:
    """Joins that lead from a cohort, or from a dataset, to the dataset's name and to its place in the study."""
    dataset = "r.dataset_id"
    joins = []
    if column != "dataset_id":
        joins.append(f"join cohort as of_{name} on of_{name}.id = r.{column}")
        dataset = f"of_{name}.dataset_id"
    return [
        *joins,
        f"join dataset as {name} on {name}.id = {dataset}",
        f"join study_dataset as in_{name} on in_{name}.study_id = study.id and in_{name}.dataset_id = {name}.id",
    ]


def _warning(columns: list[str]) -> list[str]:
    cohorts = [f"r.{name}" for name in DATASETS if name in columns and name != "dataset_id"]
    if "cohort_ids" in columns:
        cohorts = ["variadic r.cohort_ids"]
    return [f"leak_warning(r.evaluation_ids, {', '.join(cohorts)}) as warning"] if cohorts else []
