"""CheXpert's test set as each radiologist read it (Irvin et al. 2019): a folder with a CSV of studies per radiologist.

Of the published labels, `radiologists/groundtruth` has the five whose majority is the owners' ground truth, and
`radiologists` all eight.
"""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from xray.data.labels.rules import all_rules, apply_rules
from xray.data.sources.base import NOT_MENTIONED, Quarantined, SourceTable, source
from xray.data.sources.chexpert import mark_labels
from xray.data.sources.csvfile import read_csv
from xray.data.sources.native import Faults
from xray.data.sources.panel import Panel, with_label
from xray.data.sources.pictures import find_pictures
from xray.errors import DataError
from xray.tasks import TASKS

_STUDY: Final = r"(patient\d+/study\d+)"
_ENDINGS: Final = (".jpg", ".jpeg", ".png")


@source("chexpert_readers")
def read_chexpert_readers(labels: Path, images: Path | None, /) -> SourceTable:
    """One row per picture of each study, or per study without pictures (its first frontal one); the label by majority.

    labels: a folder with files such as bc4.csv or bc1_gt.csv, in it or in its folders, or one such file. Raises `DataError`
    where there is none, or one can't be read. Rows with an unknown label value or without a study are set aside.
    """
    files = [labels] if labels.is_file() else sorted(labels.rglob("*.csv"))
    if not files:
        raise DataError(
            f"{labels}: expected a CSV per radiologist with columns Study, Cardiomegaly, …, found none"
        )
    names = [path.stem.removesuffix("_gt") for path in files]
    if len(set(names)) < len(names):
        raise DataError(f"{labels}: two files belong to one radiologist: {', '.join(map(str, files))}")
    label_rules = all_rules("chexpert_readers")
    required = ["Study", *(rule.column for rule in label_rules if rule.task)]
    states_of: dict[str, pd.DataFrame] = {}
    quarantine: list[Quarantined] = []
    for name, path in zip(names, files, strict=True):
        file = read_csv(path, required)
        states, _ = apply_rules(file.frame, label_rules)
        study = file.frame["Study"].str.extract(_STUDY, expand=False).astype(object)
        faults = Faults(file)
        faults.mark(study.isna(), "Study", "expected a path with patientNNNNN/studyN in it")
        mark_labels(faults, file.frame, states, label_rules)
        faults.mark(
            study.duplicated() & study.notna(), "Study", "this study already appears in an earlier row"
        )
        free = faults.free()
        quarantine += [*file.quarantine, *faults.aside([None] * len(study))]
        states_of[name] = pd.DataFrame(states[free], index=study[free])
    studies = list(dict.fromkeys(study for its in states_of.values() for study in its.index))
    answers = np.stack(
        [its.reindex(studies).fillna(NOT_MENTIONED).to_numpy(np.int8) for its in states_of.values()]
    ) if studies else np.empty((len(states_of), 0, len(TASKS)), np.int8)  # fmt: skip
    pictures, missing = _pictures(studies, images)
    quarantine += [
        Quarantined(labels.name, None, None, f"study {study}: no picture of it under {images}")
        for study in missing
    ]
    rows_of_studies = np.array([studies.index(study) for study, _ in pictures], dtype=np.int64)
    rows = _rows(pictures)
    panel = Panel(tuple(states_of), answers[:, rows_of_studies])
    no_states = np.full((len(rows), len(TASKS)), NOT_MENTIONED, np.int8)
    terms = np.full(no_states.shape, None, dtype=object)
    return with_label(SourceTable(rows, no_states, terms, quarantine, [], panel=panel), None, labels.name)


def _pictures(studies: list[str], images: Path | None) -> tuple[list[tuple[str, str]], list[str]]:
    """(study, path of a picture) in order of the studies; and studies without any."""
    if images is None:
        return [(study, f"test/{study}/view1_frontal.jpg") for study in studies], []
    of_study: dict[str, list[str]] = {}
    for path in sorted(_paths(images)):
        parts = path.split("/")
        of_study.setdefault("/".join(parts[-3:-1]), []).append(path)
    pairs = [(study, path) for study in studies for path in of_study.get(study, ())]
    return pairs, [study for study in studies if study not in of_study]


def _paths(images: Path) -> list[str]:
    """Every picture below a folder of a patient; names repeat, so that each folder is asked."""
    folders = sorted({path.parent for path in images.rglob("patient*/study*/*") if path.is_file()})
    return [
        f"{folder.relative_to(images).as_posix()}/{name}"
        for folder in folders
        for name in find_pictures(folder, _ENDINGS)
    ]


def _rows(pictures: list[tuple[str, str]]) -> pd.DataFrame:
    """Names, patients, paths and views; the name is that of CheXpert's other files of the test set."""
    studies = pd.Series([study for study, _ in pictures], dtype=object)
    paths = pd.Series([path for _, path in pictures], dtype=object)
    views = paths.str.extract(r"view\d+_(frontal|lateral)", expand=False).str.capitalize().astype(object)
    return pd.DataFrame(
        {
            "image": "test/" + studies + "/" + paths.str.rpartition("/")[2] if len(paths) else paths,
            "patient": studies.str.partition("/")[0] if len(paths) else paths,
            "path": paths,
            "view": views.where(views.notna(), None),
            "age": np.full(len(paths), np.nan),
            "sex": np.full(len(paths), None, dtype=object),
        }
    )
