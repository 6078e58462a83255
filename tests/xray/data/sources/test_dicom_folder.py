"""A folder of DICOM files is a source of its own: rows from headers, labels from a sheet, and nothing lost in silence."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.xray.pixels.test_decode import dicom_file, smooth
from xray.data.prepare import read_source
from xray.data.sources.base import NEGATIVE, NOT_MENTIONED, POSITIVE
from xray.errors import DataError
from xray.tasks import TASK_INDEX

VALUES = smooth(20, 20, 4000)
MASS, EFFUSION = TASK_INDEX["Mass"], TASK_INDEX["Effusion"]


def picture(folder: Path, number: int, **fields: object) -> Path:
    """Picture `number` of patient number // 2: two of a patient are one study."""
    patient = number // 2
    header = {
        "SOPInstanceUID": f"1.2.{number}",
        "PatientID": f"p{patient}",
        "StudyInstanceUID": f"1.9.{patient}",
        "AccessionNumber": f"A00{patient}",
        "StudyDate": "20200315",
        "PatientAge": "061Y",
        "PatientSex": "F",
        "ViewPosition": "PA" if number % 2 == 0 else "LL",
        "Modality": "DX",
        "Manufacturer": "Maker",
        "ManufacturerModelName": "M1",
    }
    file = folder / f"p{patient}" / f"IM{number}"
    file.parent.mkdir(parents=True, exist_ok=True)
    return dicom_file(file, VALUES + np.uint16(number), **header | fields)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for number in range(6):
        picture(tmp_path / "tree", number)
    return tmp_path / "tree"


def sheet(tree: Path, *lines: str) -> Path:
    path = tree.parent / "sheet.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_rows_are_built_from_the_headers(tree: Path) -> None:
    table = read_source("dicom", tree, tree)
    row = table.rows.iloc[1]
    assert table.rows["image"].tolist() == [f"1.2.{n}" for n in range(6)]
    assert (row["patient"], row["path"], row["view"], row["age"], row["sex"]) == (
        "p0",
        "p0/IM1",
        "LL",
        61,
        "F",
    )
    assert (row["study"], row["accession"], row["study_date"]) == ("1.9.0", "A000", "20200315")
    assert (row["manufacturer"], row["model"], row["modality"]) == ("Maker", "M1", "DX")
    assert (table.states == NOT_MENTIONED).all()
    assert table.quarantine == []


@pytest.mark.parametrize(
    ("header", "names", "labelled"),
    [
        ("accession_number", ("A000", "A002"), [0, 1, 4, 5]),
        ("Study Instance UID", ("1.9.0", "1.9.2"), [0, 1, 4, 5]),
        ("image_id", ("1.2.0", "1.2.5"), [0, 5]),
        ("path", ("p0/IM0", "p2/IM5"), [0, 5]),
        ("file", ("IM0", "IM5"), [0, 5]),
    ],
)
def test_labels_are_joined_by_image_accession_number_or_study(tree, header, names, labelled) -> None:
    path = sheet(tree, f"{header},Mass,reader", f"{names[0]},1,x", f"{names[1]},0,y")
    table = read_source("dicom", path, tree)
    states = table.states[:, MASS]
    half = len(labelled) // 2
    assert np.flatnonzero(states == POSITIVE).tolist() == labelled[:half]
    assert np.flatnonzero(states == NEGATIVE).tolist() == labelled[half:]
    assert table.rows["reader"].iloc[labelled[0]] == "x"
    assert any(f"{len(labelled)} of 6 pictures have a row" in note for note in table.notes)


def test_a_sheet_with_a_hospitals_own_words_is_read_by_a_mapping(tree: Path) -> None:
    path = sheet(tree, "Auftrag;Raumforderung;TB", "A000;ja;nein", "A002;nein;ja")
    mapping = tree.parent / "sheet.toml"
    mapping.write_text(
        '[columns]\nstudy = "Auftrag"\n[findings]\nRaumforderung = "Mass"\nTB = "Tuberculosis"\n'
        '[words]\npositive = ["ja"]\nnegative = ["nein"]\n'
    )
    table = read_source("dicom", path, tree, (), mapping)
    assert table.quarantine == []
    assert table.rows["image"].tolist() == [f"1.2.{n}" for n in range(6)]
    none = NOT_MENTIONED
    assert table.states[:, MASS].tolist() == [POSITIVE, POSITIVE, none, none, NEGATIVE, NEGATIVE]
    tuberculosis = table.states[:, table.findings.index("Tuberculosis")].tolist()
    assert tuberculosis == [NEGATIVE, NEGATIVE, none, none, POSITIVE, POSITIVE]
    mapping.write_text('[long]\nfinding = "TB"\n')
    with pytest.raises(DataError, match=r"sheet\.toml: labels of a DICOM folder are a row per image"):
        read_source("dicom", path, tree, (), mapping)


def test_every_row_of_the_sheet_is_joined_or_set_aside(tree: Path) -> None:
    lines = ["accession,Mass,Effusion", "A000,1,0", "A000,1,0", "A001,0,1", "A001,1,1", "A999,1,1", ",1,1"]
    table = read_source("dicom", sheet(tree, *lines), tree)
    reasons = {entry.row: entry.reason for entry in table.quarantine}
    assert sorted(reasons) == [3, 5, 6, 7]
    assert "already appears in row 2, with the same cells" in reasons[3]
    assert "already appears in row 4, with other cells" in reasons[5]
    assert reasons[6] == "no picture of accession number A999"
    assert "no accession number" in reasons[7]
    assert table.states[2:4, EFFUSION].tolist() == [POSITIVE, POSITIVE]


def test_a_sheet_that_cannot_be_joined_is_refused_with_the_reason(tree: Path) -> None:
    with pytest.raises(DataError, match="no column to join labels by"):
        read_source("dicom", sheet(tree, "name,Mass", "x,1"), tree)
    with pytest.raises(
        DataError, match="names no accession number of the pictures; theirs are such as 'A000'"
    ):
        read_source("dicom", sheet(tree, "accession,Mass", "7,1"), tree)


def test_files_that_are_not_radiographs_are_reported(tree: Path) -> None:
    (tree / "README.txt").write_text("hello")
    (tree / "empty").write_bytes(b"")
    report = picture(tree, 20, Modality="SR")
    header = pydicom.dcmread(report)
    del header.PixelData, header.Rows, header.Columns
    header.save_as(report)
    picture(tree, 21, Modality="CT")
    picture(tree, 22, SOPInstanceUID="")
    again = tree / "p0" / "again"
    again.write_bytes((tree / "p0/IM0").read_bytes())
    table = read_source("dicom", tree, tree)
    assert len(table.rows) == 6
    assert {entry.file: entry.reason for entry in table.quarantine} == {
        "p10/IM21": "modality CT: no radiograph",
        "p11/IM22": "has no SOP Instance UID, by which a picture is known",
        "p0/again": "column 'image_id': '1.2.0': this image already appears in an earlier row",
    }
    assert "1 file(s) hold no picture (modality SR), and were skipped, such as p10/IM20" in table.notes
    assert any(note.startswith("2 file(s) are not DICOM") for note in table.notes)
    with pytest.raises(DataError, match="no DICOM picture among its 1 file"):
        read_source("dicom", again.parent.parent.parent / "none", _only_text(tree.parent / "none"))


def _only_text(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.txt").write_text("x" * 200)
    return folder


def test_view_and_age_are_derived_from_other_headers(tree: Path) -> None:
    code = Dataset()
    code.CodeMeaning = "Postero-Anterior"
    picture(
        tree,
        30,
        ViewPosition="",
        ViewCodeSequence=pydicom.Sequence([code]),
        PatientAge="",
        PatientBirthDate="19600315",
    )
    bare = (tree / "p0/IM0").read_bytes()[132:]
    (tree / "p99").mkdir()
    (tree / "p99/bare").write_bytes(bare.replace(b"1.2.0\0", b"1.2.8\0"))
    rows = read_source("dicom", tree, tree).rows.set_index("image")
    assert rows.loc["1.2.30", "view"] == "PA"
    assert rows.loc["1.2.30", "age"] == pytest.approx(60, abs=0.01)
    assert rows.loc["1.2.8", "path"] == "p99/bare"
