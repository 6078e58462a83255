"""Paths of pictures: relative to the home if they are inside it, so that a home can move; else absolute."""

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from sqlalchemy import Connection, text

from db.copy import copy_text
from db.queries import query


def stored_paths(folder: Path, files: Sequence[str], home: Path | None) -> list[str]:
    """Paths of `files` of a folder as the database has them. None: there is no home."""
    base = folder.resolve()
    if home is not None and base.is_relative_to(home.resolve()):
        base = base.relative_to(home.resolve())
    return [str(base / file) for file in files]


def take_places(
    connection: Connection, dataset_id: int, site: str, rows: pd.DataFrame, folder: Path, home: Path | None
) -> int:
    """Note that the pictures of a registered dataset lie in `folder` now, and how many of them did not before.

    rows: columns image and path, relative to the folder. A picture that is not there keeps its place. None is read: what it
    shows is asked when it is prepared.
    """
    images = connection.execute(text(query("dataset_images")), {"dataset_id": dataset_id})
    old_paths = {row.image: row.path for row in images if row.path is not None}
    registered = rows[rows["image"].isin(list(old_paths)) & rows["path"].notna()]
    frame = pd.DataFrame(
        {"name": registered["image"], "path": stored_paths(folder, registered["path"].tolist(), home)},
        index=registered.index,
    )
    changes = frame[frame["path"] != frame["name"].map(old_paths)]
    exists = [((home or Path()) / path).is_file() for path in changes["path"]]
    changes = changes[exists]
    if changes.empty:
        return 0
    connection.execute(text(query("incoming_images")))
    copy_text(
        connection, "incoming", tuple(changes.columns), io.StringIO(changes.to_csv(index=False, header=False))
    )
    connection.execute(text(query("put_places")), {"site": site})
    connection.execute(text("drop table incoming"))
    return len(changes)
