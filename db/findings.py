"""Findings by name: table `task` has each once; a dataset, a study and a model have an ordered list of them."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, text

from db.errors import StoreError
from db.schema import DatasetTask, ModelTask, StudyTask, Task

_LISTS: Final[dict[str, tuple[Any, Any]]] = {
    "dataset": (DatasetTask, DatasetTask.dataset_id),
    "study": (StudyTask, StudyTask.study_id),
    "model": (ModelTask, ModelTask.model_id),
}


def all_findings(connection: Connection) -> dict[str, int]:
    """Name → id of every finding that the database knows, in the order in which they were declared."""
    rows = connection.execute(select(Task.name, Task.id).order_by(Task.id))
    return {row.name: row.id for row in rows}


def finding_ids(connection: Connection, names: Sequence[str]) -> list[int]:
    """The ids of these findings. Raises `StoreError` where the database does not know one."""
    ids = all_findings(connection)
    unknown = [name for name in names if name not in ids]
    if unknown:
        raise StoreError(f"there is no finding {unknown[0]!r}; known: {', '.join(ids)}")
    return [ids[name] for name in names]


def put_findings(connection: Connection, names: Sequence[str]) -> list[int]:
    """The ids of these findings, made where they are new; nobody else makes one until this transaction ends."""
    if set(names) - set(all_findings(connection)):
        connection.execute(text("select pg_advisory_xact_lock(hashtext('xray findings'))"))
        ids = all_findings(connection)
        first = (connection.scalar(select(func.max(Task.id))) or 0) + 1
        new = [name for name in dict.fromkeys(names) if name not in ids]
        rows = [{"id": number, "name": name} for number, name in enumerate(new, first)]
        if rows:
            connection.execute(insert(Task), rows)
    return finding_ids(connection, names)


def put_list(connection: Connection, owner: str, identifier: int, names: Sequence[str | None]) -> None:
    """The list of findings of a dataset, study or model, in place of an earlier one.

    None leaves a place free: an output of a model that is no finding, or was never trained.
    """
    table, column = _LISTS[owner]
    connection.execute(delete(table).where(column == identifier))
    entries = [(position, name) for position, name in enumerate(names) if name is not None]
    ids = put_findings(connection, [name for _, name in entries])
    rows = [
        {column.key: identifier, "task_id": number, "position": position}
        for (position, _), number in zip(entries, ids, strict=True)
    ]
    if rows:
        connection.execute(insert(table), rows)


def read_list(connection: Connection, owner: str, identifier: int) -> tuple[str, ...]:
    """The findings of a dataset, study or model, in its order."""
    table, column = _LISTS[owner]
    listed = select(Task.name).join(table, table.task_id == Task.id).where(column == identifier)
    return tuple(connection.scalars(listed.order_by(table.position)))
