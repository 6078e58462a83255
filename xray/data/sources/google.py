"""Google's expert labels of NIH images (Majkowska et al. 2019): google2019_nih-chest-xray-labels.csv."""

from pathlib import Path
from typing import Final

from xray.data.labels.rules import all_rules, apply_rules
from xray.data.sources.base import SourceTable, source
from xray.data.sources.csvfile import read_csv
from xray.data.sources.native import Faults, label_file
from xray.data.sources.nih import REQUIRED as NIH_REQUIRED
from xray.data.sources.nih import nih_rows

PATTERNS: Final = ("google2019_nih-chest-xray-labels.csv*", "google*labels*.csv*")
LABELS: Final = ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")


@source("google")
def read_google(labels: Path, images: Path | None, /) -> SourceTable:
    """The rows of the merged label file (validation and test rows), with NIH's image names and patients.

    Raises `DataError` where the file can't be read. Rows with a label that is neither YES nor NO are set
    aside.
    """
    file = read_csv(label_file(labels, PATTERNS), (*NIH_REQUIRED, *LABELS))
    states, terms = apply_rules(file.frame, all_rules("google"))
    faults = Faults(file)
    for column in LABELS:
        faults.mark(~file.frame[column].str.strip().isin(["YES", "NO"]), column, "expected YES or NO")
    notes: list[str] = []
    rows = nih_rows(file, images, faults, notes)
    return faults.table(rows, states, terms, notes, "Image Index")
