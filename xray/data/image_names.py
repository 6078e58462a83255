"""A list of images, as somebody has it in a file."""

from pathlib import Path
from typing import Final

from xray.data.tables import read_table
from xray.errors import DataError

COLUMN: Final = "image"


def image_names(path: Path) -> list[str]:
    """The names of a file's images: of its column `image`, or a name a line. Raises `DataError` where it has neither."""
    table = read_table(path)
    columns = list(table.frame.columns)
    if COLUMN in columns:
        names = list(table.frame[COLUMN])
    elif len(columns) == 1:
        names = [columns[0], *table.frame[columns[0]]]
    else:
        raise DataError(
            f"{path.name}: expected a column {COLUMN!r}, or a name a line; found {', '.join(columns)}"
        )
    names = [str(name) for name in names if name]
    if not names:
        raise DataError(f"{path.name}: there is no image in it")
    return names
