import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from xray.data.protocol import load_protocol
from xray.data.selection import select
from xray.data.sources.base import SourceTable
from xray.data.sources.dicom import read_person
from xray.data.sources.rsna import read_rsna
from xray.errors import DataError
from xray.tasks import TASK_INDEX

LABELS = [
    "patientId,x,y,width,height,Target",
    "a,,,,,0",
    "b,264.0,152.0,213.0,379.0,1",
    "b,562.0,152.0,256.0,453.0,1",
    "c,,,,,0",
    "b,1.0,2.0,3.0,4.0,1",
    "d,,,,,2",
    "e,,,,,0",
    "e,1,2,3,4,1",
]
HEADERS = [",PatientAge,PatientID,PatientSex,ViewPosition", "0,51,a,F,PA", "1,48,b,M,PA", "2,155,c,M,AP"]
MAPPING = [
    {"img_id": "00000013_008.png", "subset_img_id": "a"},
    {"img_id": "00000013_026.png", "subset_img_id": "b"},
]


def rsna(tmp_path: Path, images: Path | None = None) -> SourceTable:
    with zipfile.ZipFile(tmp_path / "stage_2_train_labels.csv.zip", "w") as archive:
        archive.writestr("stage_2_train_labels.csv", "\n".join(LABELS))
    return read_rsna(tmp_path / "stage_2_train_labels.csv.zip", images)


def test_there_is_one_row_per_image_with_its_boxes(tmp_path: Path) -> None:
    (tmp_path / "stage_2_train_images_dicom_headers.csv").write_text("\n".join(HEADERS))
    (tmp_path / "stage_2_detailed_class_info.csv").write_text(
        "patientId,class\na,Normal\nb,Lung Opacity\nb,Lung Opacity"
    )
    (tmp_path / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(MAPPING))
    table = rsna(tmp_path)
    assert table.rows["image"].tolist() == ["a", "b", "c"]
    assert table.rows["patient"].tolist() == ["13", "13", None]
    assert table.rows["original"].tolist() == ["00000013_008.png", "00000013_026.png", ""]
    assert table.rows["view"].tolist() == ["PA", "PA", "AP"]
    np.testing.assert_array_equal(table.rows["age"], [51, 48, np.nan])
    assert table.rows["class"].tolist() == ["Normal", "Lung Opacity", ""]
    assert json.loads(table.rows["boxes"][1]) == [[264, 152, 213, 379], [562, 152, 256, 453], [1, 2, 3, 4]]
    assert json.loads(table.rows["file_rows"][1]) == [1, 2, 4]
    for task in ("Lung Opacity", "Pneumonia"):
        assert table.states[:, TASK_INDEX[task]].tolist() == [0, 1, 0]
    assert (table.states != -2).sum() == 6
    assert [(entry.row, entry.image) for entry in table.quarantine] == [(7, "d"), (8, "e")]
    assert table.notes[0] == "3 images are not in the mapping to NIH images: their patients are unknown"
    assert "the age of 1 row(s) is unknown: '155' (1)" in table.notes[1]


def test_the_paper_protocol_repeats_an_image_for_each_box(tmp_path: Path) -> None:
    (tmp_path / "stage_2_train_images_dicom_headers.csv").write_text("\n".join(HEADERS))
    (tmp_path / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(MAPPING))
    table = rsna(tmp_path)
    paper = select(table, "rsna", load_protocol("paper"))
    assert paper.index.tolist() == [0, 1, 1, 2, 1]
    assert paper.labels[:, TASK_INDEX["Pneumonia"]].tolist() == [0, 1, 1, 0, 1]
    assert select(table, "rsna", load_protocol("corrected")).index.tolist() == [
        0
    ]  # b: the same patient; c: AP


def test_missing_patients_views_ages_and_sexes_are_reported(tmp_path: Path) -> None:
    table = rsna(tmp_path)
    assert table.rows["patient"].isna().all()
    assert any("patients are unknown" in note for note in table.notes)
    assert any("view, age and sex are unknown" in note for note in table.notes)
    assert select(table, "rsna", load_protocol("corrected")).left_out == {"view unknown": 3}


def test_an_invalid_mapping_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "pneumonia-challenge-dataset-mappings_2018.json").write_text('{"a": 1}')
    with pytest.raises(DataError, match="mappings_2018"):
        rsna(tmp_path)


def dicom(*elements: tuple[int, int, bytes, bytes], syntax: bytes = b"1.2.840.10008.1.2.1\0") -> bytes:
    explicit = syntax != b"1.2.840.10008.1.2\0"

    def element(group: int, number: int, kind: bytes, value: bytes, explicit: bool) -> bytes:
        if not explicit:
            return struct.pack("<HHI", group, number, len(value)) + value
        if kind == b"SQ":
            return struct.pack("<HH2sHI", group, number, kind, 0, 0xFFFFFFFF) + value
        return struct.pack("<HH2sH", group, number, kind, len(value)) + value

    meta = element(2, 0x10, b"UI", syntax, True)
    return b"\0" * 128 + b"DICM" + meta + b"".join(element(*item, explicit) for item in elements)


ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + struct.pack("<HH2sH", 8, 0x100, b"SH", 2) + b"AB"
ITEM += struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
PERSON = [(0x10, 0x40, b"CS", b"F "), (0x10, 0x1010, b"AS", b"051Y"), (0x18, 0x5101, b"CS", b"PA")]


@pytest.mark.parametrize("syntax", [b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0"])
def test_view_age_and_sex_are_read_from_dicom_files(tmp_path: Path, syntax: bytes) -> None:
    pictures = tmp_path / "stage_2_train_images"
    pictures.mkdir()
    before = [(8, 0x1110, b"SQ", ITEM)] if b".1\0" in syntax else []
    (pictures / "a.dcm").write_bytes(dicom(*before, *PERSON, syntax=syntax))
    table = rsna(tmp_path, tmp_path)
    assert table.rows[["image", "path", "view", "age", "sex"]].to_numpy().tolist() == [
        ["a", "stage_2_train_images/a.dcm", "PA", 51, "F"]
    ]


CUT = dicom(*PERSON[:1])[:-1]


@pytest.mark.parametrize("data", [b"", b"\0" * 300, dicom(*PERSON, syntax=b"1.2.840.10008.1.2.2\0"), CUT])
def test_a_file_that_is_not_dicom_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.dcm").write_bytes(data)
    with pytest.raises(DataError, match=r"x\.dcm"):
        read_person(tmp_path / "x.dcm")


def test_a_real_dicom_file_gives_sex_age_and_view() -> None:
    folder = Path(__file__).parents[4] / "../shared/data/images/nih_dicom/originals"
    if not folder.is_dir():
        pytest.skip("the DICOM file is not there")
    assert read_person(next(folder.glob("*.dcm"))) == {"sex": "M", "age": "62", "view": "PA"}
