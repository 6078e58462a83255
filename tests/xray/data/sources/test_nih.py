"""NIH's own labels, and Google's of the same images."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from xray.data.sources.base import NEGATIVE, NOT_MENTIONED, POSITIVE, SourceTable
from xray.data.sources.google import read_google
from xray.data.sources.nih import read_nih
from xray.errors import DataError
from xray.tasks import TASK_INDEX

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
FIRST = [
    "00000001_000.png,Cardiomegaly,000,00000001,058Y,M,PA,2682,2749,0.143,0.143",
    "00000001_001.png,Cardiomegaly|Pleural_Thickening,001,00000001,011M,M,AP,2894,2729,0.143,0.143",
    "00000013_000.png,No Finding,000,00000013,081Y,F,PA,2500,2048,0.168,0.168",
]


def nih(tmp_path: Path, rows: list[str], header: str = HEADER, ending: str = "\r\n") -> SourceTable:
    (tmp_path / "Data_Entry_2017.csv").write_bytes(ending.join([header, *rows, ""]).encode())
    return read_nih(tmp_path / "Data_Entry_2017.csv", None)


def test_the_first_release_with_its_empty_last_column_is_read(tmp_path: Path) -> None:
    table = nih(tmp_path, FIRST, HEADER + ",")
    assert table.quarantine == []
    assert table.notes == ["release of 2017, the paper's"]
    assert table.rows["image"].tolist() == ["00000001_000.png", "00000001_001.png", "00000013_000.png"]
    assert table.rows["patient"].tolist() == ["1", "1", "13"]
    assert table.rows["view"].tolist() == ["PA", "AP", "PA"]
    assert table.rows["sex"].tolist() == ["M", "M", "F"]
    np.testing.assert_allclose(table.rows["age"], [58, 11 / 12, 81])
    assert table.rows["Follow-up #"].tolist() == ["000", "001", "000"]
    assert table.states[:, TASK_INDEX["Cardiomegaly"]].tolist() == [POSITIVE, POSITIVE, NEGATIVE]
    assert table.states[:, TASK_INDEX["Pleural_Thickening"]].tolist() == [NEGATIVE, POSITIVE, NEGATIVE]
    assert (table.states[:, 14:] == NOT_MENTIONED).all()
    assert (table.states[:, :14] != NOT_MENTIONED).all()
    assert table.terms[1, TASK_INDEX["Cardiomegaly"]] == "Cardiomegaly"
    assert table.terms[2, TASK_INDEX["Cardiomegaly"]] is None


def test_the_second_release_is_recognised_by_its_ages(tmp_path: Path) -> None:
    table = nih(tmp_path, ["00000061_012.png,Edema,12,61,77,M,AP,3056,2544,0.139,0.139"], ending="\n")
    assert "2020" in table.notes[0]
    assert table.rows["patient"].tolist() == ["61"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("x.png,Mas,0,1,058Y,M,PA,1,1,1,1", ["'Finding Labels'", "'Mas'"]),
        ("x.png,,0,1,058Y,M,PA,1,1,1,1", ["'Finding Labels'"]),
        ("x.png,Mass,0,one,058Y,M,PA,1,1,1,1", ["'Patient ID'", "'one'"]),
        ("00000001_000.png,Mass,0,1,058Y,M,PA,1,1,1,1", ["'Image Index'", "earlier"]),
        ("x.png,Mass,0,1", ["4 fields", "11"]),
    ],
)
def test_bad_rows_are_set_aside_with_a_reason(tmp_path: Path, row: str, words: list[str]) -> None:
    table = nih(tmp_path, [FIRST[0], row, FIRST[2]])
    assert len(table.rows) == len(table.states) == 2
    (entry,) = table.quarantine
    assert (entry.file, entry.row) == ("Data_Entry_2017.csv", 3)
    for word in words:
        assert word in entry.reason


def test_pictures_are_found_in_numbered_folders(tmp_path: Path) -> None:
    for name in ("images_001/images/00000001_000.png", "images_002/images/00000001_001.png"):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True)
        (tmp_path / "pictures" / name).touch()
    nih(tmp_path, FIRST)
    table = read_nih(tmp_path / "Data_Entry_2017.csv", tmp_path / "pictures")
    assert table.rows["path"].tolist() == [
        "images_001/images/00000001_000.png",
        "images_002/images/00000001_001.png",
    ]
    assert [(entry.row, entry.image) for entry in table.quarantine] == [(4, "00000013_000.png")]


def test_a_folder_is_read_as_the_label_file_in_it(tmp_path: Path) -> None:
    nih(tmp_path, FIRST)
    assert len(read_nih(tmp_path, None).rows) == 3
    (tmp_path / "Data_Entry_2017.csv.gz").write_bytes(gzip.compress(b"x"))
    with pytest.raises(DataError, match="several"):
        read_nih(tmp_path, None)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Data_Entry_2017.csv, row 1: .*'Finding Labels'.*'Finding Label'"):
        nih(tmp_path, FIRST, HEADER.replace("Finding Labels", "Finding Label"))


def test_googles_labels_are_read(tmp_path: Path) -> None:
    header = HEADER + ",Fracture,Pneumothorax,Airspace opacity,Nodule or mass,Set Id"
    start = "No Finding,8,13,60,M,AP,3056,2544,0.139,0.139"
    rows = [
        f"a.png,{start},NO,YES,YES,NO,val",
        f"b.png,{start},NO,NO,NO,YES,test",
        f"c.png,{start},NO,NO,MAYBE,NO,test",
    ]
    path = tmp_path / "google.csv"
    path.write_text("\n".join([header, *rows]))
    table = read_google(path, None)
    assert table.rows["patient"].tolist() == ["13", "13"]
    assert table.rows["Set Id"].tolist() == ["val", "test"]
    assert table.states[:, TASK_INDEX["Lung Opacity"]].tolist() == [POSITIVE, NEGATIVE]
    assert table.states[:, TASK_INDEX["Pneumothorax"]].tolist() == [POSITIVE, NEGATIVE]
    assert table.states[:, TASK_INDEX["Fracture"]].tolist() == [NEGATIVE, NEGATIVE]
    assert (table.states[:, TASK_INDEX["Nodule"]] == NOT_MENTIONED).all()
    assert (table.states != NOT_MENTIONED).sum() == 6
    (entry,) = table.quarantine
    assert (entry.row, "'Airspace opacity'" in entry.reason, "'MAYBE'" in entry.reason) == (4, True, True)


def test_a_real_subset_is_read_with_its_pictures() -> None:
    path = Path(__file__).parents[4] / "../shared/data/images/nih"
    if not path.is_dir():
        pytest.skip("the pictures are not there")
    table = read_nih(path, path)
    assert "2020" in table.notes[0]
    assert (table.quarantine, len(table.rows)) == ([], 1000)
    assert set(table.rows["path"].str.partition("/")[0]) == {"images"}
    labels = read_google(path, path)
    assert (labels.quarantine, len(labels.rows)) == ([], 39)
    assert set(labels.rows["image"]) <= set(table.rows["image"])
