"""Labels without pictures: a CSV of image names, a column per task, and whatever else is known of the images.

The layout of a manifest, of which only the image names are required: image_id (or image), then perhaps patient_id (or
patient), view, age, sex. Tasks may be cased and joined as people do ("Pleural thickening").
"""

from pathlib import Path
from typing import Final

import pandas as pd

from xray.data.sources.base import SourceTable, source
from xray.data.sources.csvfile import CsvFile, read_csv
from xray.data.sources.manifest import manifest_table
from xray.data.task_columns import plain_name, task_columns
from xray.errors import ManifestError
from xray.tasks import TASKS

_MEANT: Final = {
    "image": "image_id", "imageid": "image_id", "patient": "patient_id", "patientid": "patient_id", "view": "view",
    "age": "age", "sex": "sex",
}  # fmt: skip
NO_PATIENTS: Final = "no column patient_id: each image counts as a patient of its own"


@source("labels")
def read_labels(labels: Path, images: Path | None, /) -> SourceTable:
    """The rows of a label file that names images and no pictures.

    Raises `ManifestError` where the file can't be read, no column or several name the images, or none is a task. Bad
    rows are set aside, as in a manifest.
    """
    if images is not None:
        raise ManifestError(f"{labels.name}: labels without pictures have no image folder; use a manifest")
    file = read_csv(labels, (), ManifestError)
    frame = file.frame.rename(columns=_names(file))
    if "image_id" not in frame:
        found = ", ".join(map(repr, file.frame.columns[:8]))
        raise ManifestError(
            f"{file.name}: expected a column image_id (or image) with the images' names, found {found}"
        )
    notes = [] if "patient_id" in frame else [NO_PATIENTS]
    for column, cells in (("patient_id", ""), ("path", frame["image_id"])):
        frame[column] = frame.get(column, cells)
    table = manifest_table(CsvFile(file.name, frame, file.lines, file.quarantine), None)
    return SourceTable(table.rows, table.states, table.terms, table.quarantine, [*table.notes, *notes])


def _names(file: CsvFile) -> dict[str, str]:
    """The file's columns → those of a manifest, where they are written otherwise."""
    columns, others, wrong = task_columns(list(file.frame.columns), TASKS)
    if wrong:
        raise ManifestError(f"{file.name}, row 1: {'; '.join(wrong)}")
    if not columns:
        raise ManifestError(f"{file.name}: no column is a task; expected some of {', '.join(TASKS)}")
    names = {name: task for task, name in columns.items()}
    names |= {name: _MEANT[plain_name(name)] for name in others if plain_name(name) in _MEANT}
    doubled = pd.Series(list(names.values())).value_counts()
    if len(doubled) and doubled.iloc[0] > 1:
        several = [name for name, meant in names.items() if meant == doubled.index[0]]
        raise ManifestError(
            f"{file.name}: columns {' and '.join(map(repr, several))} are both {doubled.index[0]}"
        )
    return {name: meant for name, meant in names.items() if name != meant}
