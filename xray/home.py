"""A home (XRAY_HOME) can move: where it was is kept in its database, and MLflow's places follow it.

Our own tables have paths in the home relative to it. MLflow has its artifacts by absolute URI, in its database. So the
folder has an id (`home.id`), and the table `home` says where the folder of this id was when it was last opened: where it is
opened elsewhere, the URIs below the former place are written anew, once. A *copied* home has a copied embedded database, and
then has its own files as well, never the original's.
"""

import contextlib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlparse

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.pool import NullPool

from db.queries import query
from xray.settings import ARTIFACTS

ID: Final = "home.id"
LONGEST: Final = 1000
NARROW: Final = 200
"""Characters of `runs.artifact_uri`."""
LONGEST_NAME: Final = 60
"""Characters of the name of a study, which is an experiment's."""
_SHORT: Final = {
    "runs": "artifact_uri",
    "experiments": "artifact_location",
    "model_versions": "storage_location",
}


def settle(engine: Engine, mlflow: str, home: Path, *, own: bool) -> None:
    """Note where the home is; where it has moved, or is a copy, let what is stored of its files follow.

    mlflow: URL of MLflow's database. own: the databases are this home's alone (embedded, or just restored for it), so that
    every place in them is its own; else only what was noted of this very folder moves. Nothing happens where it is still at
    its place, or where the folder can't be written to.
    """
    home = home.resolve()
    identity = _identity(home)
    if identity is None:
        return
    with engine.begin() as connection:
        noted = _noted(connection)
        if noted == {identity: str(home)} or (not own and noted.get(identity) == str(home)):
            return
        connection.execute(text("select pg_advisory_xact_lock(hashtext('xray home'))"))
        noted = _noted(connection)
        if not own and _lives(noted.get(identity), identity):  # a copy, beside its original on one database
            identity, noted = _identity(home, new=True) or identity, {}
        former = set(noted.values()) if own else {noted[identity]} if identity in noted else set()
        if is_long((home / ARTIFACTS).as_uri()):
            widen(mlflow)
        with create_engine(mlflow, poolclass=NullPool).begin() as tracking:
            has_tables = inspect(tracking).has_table("experiments")
            if own and not noted:
                former |= _unnoted(
                    connection, tracking if has_tables and (home / ARTIFACTS).is_dir() else None
                )
            if has_tables:
                for folder in sorted(former - {str(home)}):
                    _follow(tracking, Path(folder), home)
        for folder in sorted(former | {str(home)}):
            connection.execute(text(query("home_images")), {"place": f"{folder}/"})
        statement = "delete from home" if own else "delete from home where id = :id"
        connection.execute(text(statement), {"id": identity})
        connection.execute(text("insert into home values (:id, :path)"), {"id": identity, "path": str(home)})


def is_long(artifacts: str) -> bool:
    """Whether MLflow's tables, as it makes them, are too narrow for places below the URI `artifacts`."""
    return len(artifacts) + len("/") + LONGEST_NAME + len(f"/{uuid.uuid4().hex}/artifacts") > NARROW


def widen(mlflow: str) -> None:
    """Let MLflow's tables hold the places of a home of a long name: MLflow cuts them at 200 to 500 characters.

    As the owner of its tables.
    """
    if not mlflow.startswith("postgresql"):
        return
    with create_engine(mlflow, poolclass=NullPool).begin() as connection:
        for table, column in _SHORT.items():
            length = connection.scalar(
                text(
                    "select character_maximum_length from information_schema.columns"
                    " where table_schema = current_schema and table_name = :table and column_name = :column"
                ),
                {"table": table, "column": column},
            )
            if length is not None and length < LONGEST:
                connection.exec_driver_sql(
                    f"alter table {table} alter column {column} type varchar({LONGEST})"
                )


def _identity(home: Path, *, new: bool = False) -> str | None:
    """The folder's id, made where it has none; None where that can't be written."""
    file = home / ID
    if new:
        file.unlink(missing_ok=True)
    with contextlib.suppress(FileExistsError, OSError), file.open("x", encoding="ascii") as stream:
        stream.write(uuid.uuid4().hex)
    with contextlib.suppress(OSError):
        return file.read_text(encoding="ascii").strip() or None
    return None


def _noted(connection: Connection) -> Mapping[str, str]:
    return {row.id: row.path for row in connection.execute(text("select id, path from home"))}


def _lives(folder: str | None, identity: str) -> bool:
    """Whether the folder of this id is still where it was."""
    return folder is not None and (Path(folder) / ID).is_file() and _identity(Path(folder)) == identity


def _unnoted(connection: Connection, tracking: Connection | None) -> set[str]:
    """Where a home was that is older than notes, by what its databases say of drawn pictures and of experiments."""
    places = set(connection.scalars(text(query("homes_of_images"))))
    if tracking is not None:
        uris = tracking.scalars(text(query("mlflow_homes")))
        places |= {unquote(urlparse(uri).path) for uri in uris}
    return {path for path in places if Path(path).is_absolute()}


def _follow(tracking: Connection, former: Path, home: Path) -> None:
    for old, new in ((former.as_uri(), home.as_uri()), (str(former), str(home))):
        tracking.execute(text(query("mlflow_moved")), {"former": f"{old}/", "present": f"{new}/"})
