"""Names of images and patients, as their owners chose them: which can be taken."""

import numpy as np

from xray.data.sources.base import Quarantined, SourceTable
from xray.names import LONGEST, UNFIT, fault_of, quoted


def with_fit_names(table: SourceTable, file: str) -> SourceTable:
    """The table without rows whose image or patient has a name that would break a line or mislead a reader (`xray.names`).

    They are set aside, as of `file`; a table without any is given back as it is.
    """
    unfit = np.zeros(len(table.rows), dtype=bool)
    for column in ("image", "patient"):
        names = table.rows[column].astype("string")
        is_unfit = names.str.contains(UNFIT, regex=True) | (names.str.len() > LONGEST)
        unfit |= is_unfit.fillna(False).to_numpy(bool)
    if not unfit.any():
        return table
    quarantine = [
        Quarantined(file, None, quoted(str(image)), f"{column}: {fault}")
        for image, patient in table.rows.loc[unfit, ["image", "patient"]].itertuples(index=False)
        for column, fault in _faults(image, patient)
    ]
    return table.take(~unfit, quarantine)


def _faults(image: object, patient: object) -> list[tuple[str, str]]:
    """The first fault of a row: the column that it is of, and what it is."""
    names = [("image", image), ("patient", patient)]
    faults = [(column, fault_of(name)) for column, name in names if isinstance(name, str)]
    return [(column, fault) for column, fault in faults if fault][:1]
