"""OpenI (Indiana University; Demner-Fushman et al. 2016): one XML report per study, naming its images."""

from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd

from xray.data.labels.rules import all_rules, apply_rules
from xray.data.sources.base import COLUMNS, Quarantined, SourceTable, source
from xray.data.sources.csvfile import read_csv
from xray.data.sources.native import companion, locate, matching, no_picture, text
from xray.data.sources.people import sex_of
from xray.data.sources.reports import parse, read_reports
from xray.errors import DataError

REPORTS: Final = ("NLMCXR_reports.t*", "*reports*.t*")
FOLDERS: Final = ("ecgen-radiology",)
DICOM: Final = ("nlmcxr_dicom_metadata.csv*",)
VIEWS: Final = ("nlmcxr_tsne_pa.csv*",)
KEPT: Final = (
    "View Position",
    "Manufacturer",
    "Patient's Birth Date",
    "Patient's Sex",
    "Study Date",
    "Rows",
    "Columns",
)


@source("openi")
def read_openi(labels: Path, images: Path | None, /) -> SourceTable:
    """The images of every report, in order of report number and then of the report.

    labels: NLMCXR_reports.tgz, the folder ecgen-radiology, or a folder that holds either. The files
    nlmcxr_dicom_metadata.csv and nlmcxr_tsne_pa.csv are used where they lie beside it: the view is the
    second's, else the first's. A report stands for its patient. Labels come from the automatic MeSH terms
    alone. Raises `DataError` where no report can be read. A report that is no XML is set aside.
    """
    reports = _find_reports(labels)
    quarantine: list[Quarantined] = []
    rows: list[dict[str, object]] = []
    imageless = 0
    for name, data in read_reports(reports):
        try:
            image_rows = _images_of(data)
        except DataError as failure:
            quarantine.append(Quarantined(name, None, None, str(failure)))
            continue
        imageless += not image_rows
        rows.extend(row | {"report": name} for row in image_rows)
    if not rows:
        raise DataError(f"{labels}: no report with an image in it; expected the XML files of ecgen-radiology")
    frame = pd.DataFrame(rows, dtype=object)
    frame = _sorted(frame)
    repeated = frame["image"].duplicated()
    quarantine += [
        Quarantined(str(report), None, str(image), "this image already appears in an earlier report")
        for report, image in frame.loc[repeated, ["report", "image"]].itertuples(index=False)
    ]
    frame = frame[~repeated].drop(columns="report").reset_index(drop=True)
    notes = [f"{imageless} reports name no image"] if imageless else []
    frame = _describe(frame, reports, notes)
    return _table(frame, images, quarantine, notes)


def _find_reports(labels: Path) -> Path:
    if not labels.exists():
        raise DataError(f"{labels}: no such file or folder")
    if labels.is_file() or any(labels.glob("*.xml")):
        return labels
    files = [path for path in matching(labels, FOLDERS) if path.is_dir()] or matching(labels, REPORTS)
    if not files:
        raise DataError(f"{labels}: expected NLMCXR_reports.tgz or the folder ecgen-radiology")
    return files[0]


def _images_of(data: bytes | str) -> list[dict[str, object]]:
    """One entry per image of a report: its name, the report's id, and the MeSH terms, joined.

    Raises `DataError` where it is no report: `data` that is text says why it could not be read.
    """
    if isinstance(data, str):
        raise DataError(data)
    root = parse(data)
    uid = root.find("uId")
    if uid is None or "id" not in uid.attrib:
        raise DataError("not a report in XML: no uId")
    report_values = {
        "patient": uid.attrib["id"],
        "labels_major": _terms(root, "major"),
        "labels_automatic": _terms(root, "automatic"),
    }
    images = list(root.iterfind(".//parentImage"))
    if any("id" not in image.attrib for image in images):
        raise DataError("not a report in XML: an image without id")
    return [{"image": image.attrib["id"], **report_values} for image in images]


def _terms(root: Element, kind: str) -> str:
    return "|".join(sorted({(node.text or "").lower() for node in root.iterfind(f".//MeSH/{kind}")}))


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    number = pd.to_numeric(frame["patient"].str.extract(r"(\d+)$", expand=False), errors="coerce")
    order = np.lexsort((np.arange(len(frame)), frame["patient"].astype(str), number.fillna(np.inf)))
    return frame.iloc[order].reset_index(drop=True)


def _describe(frame: pd.DataFrame, reports: Path, notes: list[str]) -> pd.DataFrame:
    """Adds the DICOM columns and the t-SNE view, where their files are there."""
    dicom, views = companion(reports, DICOM), companion(reports, VIEWS)
    if reports.is_dir():
        dicom, views = dicom or companion(reports.parent, DICOM), views or companion(reports.parent, VIEWS)
    if dicom is not None:
        header = read_csv(dicom, ["imageid"]).frame.drop_duplicates("imageid").set_index("imageid")
        for column in KEPT:
            if column in header.columns:
                frame[column] = frame["image"].map(header[column]).fillna("").astype(object)
    else:
        notes.append("nlmcxr_dicom_metadata.csv is missing: age and sex are unknown")
    if views is not None:
        view = read_csv(views, ["imageid", "tsne-view"]).frame.drop_duplicates("imageid").set_index("imageid")
        frame["tsne-view"] = frame["image"].map(view["tsne-view"]).fillna("").astype(object)
    else:
        notes.append(
            "nlmcxr_tsne_pa.csv is missing: views are those of the DICOM headers, where they say one"
        )
    return frame


def _table(
    frame: pd.DataFrame, images: Path | None, quarantine: list[Quarantined], notes: list[str]
) -> SourceTable:
    states, terms = apply_rules(frame, all_rules("openi"))
    paths = np.array(locate([[f"{name}.png" for name in frame["image"]]], images), dtype=object)
    empty = pd.Series("", index=frame.index, dtype=object)
    tsne, dicom = text(frame.get("tsne-view", empty)), text(frame.get("View Position", empty))
    study = pd.to_numeric(frame.get("Study Date", empty).str[:4], errors="coerce")
    birth = pd.to_numeric(frame.get("Patient's Birth Date", empty).str[:4], errors="coerce")
    age = (study - birth).to_numpy(np.float64)
    columns = {
        "image": frame["image"],
        "patient": frame["patient"],
        "path": paths,
        "view": tsne.where(tsne.notna(), dicom),
        "age": np.where((age >= 0) & (age < 130), age, np.nan),
        "sex": sex_of(frame.get("Patient's Sex", empty)),
    }
    rows = pd.DataFrame(columns | {c: frame[c] for c in frame.columns if c not in COLUMNS})
    absent = no_picture(paths.tolist(), images)
    quarantine += [
        Quarantined(f"{name}.png", None, str(name), f"no such picture under {images}")
        for name in rows["image"][absent]
    ]
    return SourceTable(
        rows[~absent].reset_index(drop=True), states[~absent], terms[~absent], quarantine, notes
    )
