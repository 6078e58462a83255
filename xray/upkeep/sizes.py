"""How much room an installation takes: tables, databases, folders of the home, and what a score costs."""

import contextlib
import os
from pathlib import Path
from typing import Any

from sqlalchemy import text

from db.connection import DATABASES, Databases
from db.queries import query
from db.upkeep.dump import engine_of


def sizes(databases: Databases, home: Path) -> dict[str, Any]:
    """databases and folders: name → bytes; tables: their rows and bytes; scores, and bytes_per_score (None without any)."""
    of_databases = {}
    for name in DATABASES:
        with engine_of(databases.of(name)).connect() as connection:
            of_databases[name] = connection.scalar(text("select pg_database_size(current_database())"))
    with databases.engine().connect() as connection:
        tables = [dict(row) for row in connection.execute(text(query("table_sizes"))).mappings()]
        stored = connection.execute(text(query("score_sizes"))).one()
    return {
        "databases": of_databases,
        "tables": tables,
        "scores": stored.scores,
        "bytes_per_score": stored.bytes / stored.scores if stored.scores else None,
        "folders": {path.name: size_of(path) for path in sorted(home.iterdir())},
    }


def size_of(path: Path) -> int:
    """Bytes that a file, or all files of a folder, take on the disk; what vanishes meanwhile counts as nothing."""
    files = (
        [path]
        if path.is_file()
        else [Path(parent) / name for parent, _, names in os.walk(path) for name in names]
    )
    size = 0
    for file in files:
        with contextlib.suppress(OSError):
            size += file.lstat().st_blocks * 512
    return size
