from pathlib import Path

import numpy as np
import pytest

from xray.data.protocol import load_protocol
from xray.data.selection import select
from xray.data.sources.base import NEGATIVE, NOT_MENTIONED, POSITIVE, UNCERTAIN, SourceTable
from xray.data.sources.chexpert import read_chexpert
from xray.tasks import TASK_INDEX

FINDINGS = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,"
    "Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
HEADER = "Path,Sex,Age,Frontal/Lateral,AP/PA," + FINDINGS
NAMES = FINDINGS.split(",")
PAPER, CORRECTED = load_protocol("paper"), load_protocol("corrected")


def row(patient: int, study: int, view: str = "PA", root: str = "CheXpert-v1.0-small", **values: str) -> str:
    side = "Lateral" if view == "L" else "Frontal"
    cells = [values.get(name.replace(" ", "_"), "") for name in NAMES]
    path = f"{root}/train/patient{patient:05d}/study{study}/view1_{side.lower()}.jpg"
    return ",".join([path, "Female", "68", side, "" if view == "L" else view, *cells])


def chexpert(tmp_path: Path, *rows: str, images: Path | None = None) -> SourceTable:
    (tmp_path / "train.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return read_chexpert(tmp_path / "train.csv", images)


def cell(selection_labels: np.ndarray, task: str) -> list[float]:
    return selection_labels[:, TASK_INDEX[task]].tolist()


def test_states_come_from_the_images_own_row(tmp_path: Path) -> None:
    table = chexpert(
        tmp_path,
        row(1, 1, Pleural_Effusion="1.0", Edema="-1.0", Pneumonia="0.0", No_Finding=""),
        row(1, 2, view="L", No_Finding="1.0", Support_Devices="1.0"),
    )
    assert table.rows["image"].tolist() == [
        "train/patient00001/study1/view1_frontal.jpg",
        "train/patient00001/study2/view1_lateral.jpg",
    ]
    assert table.rows["patient"].tolist() == ["patient00001"] * 2
    assert table.rows["view"].tolist() == ["PA", "Lateral"]
    assert table.rows["No Finding"].tolist() == ["", "1.0"]
    for task, state in [("Effusion", POSITIVE), ("Edema", UNCERTAIN), ("Pneumonia", NEGATIVE)]:
        assert table.states[0, TASK_INDEX[task]] == state
    assert table.terms[0, TASK_INDEX["Effusion"]] == "Pleural Effusion"
    assert (table.states[1] == NOT_MENTIONED).all()


def test_full_and_small_release_name_the_same_image(tmp_path: Path) -> None:
    small = chexpert(tmp_path, row(1, 1)).rows["image"].tolist()
    assert chexpert(tmp_path, row(1, 1, root="CheXpert-v1.0")).rows["image"].tolist() == small


def test_labels_are_stitched_from_a_patients_frontal_rows(tmp_path: Path) -> None:
    """The image is study 1's; the labels are each column's first that is not blank, lateral rows left out."""
    table = chexpert(
        tmp_path,
        row(7, 1, view="L", Edema="0.0"),
        row(7, 1, Edema="", Fracture="1.0"),
        row(7, 2, view="AP", Edema="1.0", Fracture="0.0", Cardiomegaly="-1.0"),
        row(7, 3, Cardiomegaly="1.0", Lung_Lesion="0.0"),
    )
    paper = select(table, "chexpert", PAPER)
    assert paper.index.tolist() == [1]
    assert cell(paper.labels, "Edema") == [1]
    assert cell(paper.labels, "Fracture") == [1]
    assert cell(paper.labels, "Lung Lesion") == [0]
    np.testing.assert_equal(cell(paper.labels, "Cardiomegaly"), [np.nan])  # uncertain came first
    assert paper.label_rows[0, TASK_INDEX["Edema"]] == 2
    corrected = select(table, "chexpert", CORRECTED)
    assert corrected.index.tolist() == [1]
    assert cell(corrected.labels, "Fracture") == [1]
    np.testing.assert_equal(cell(corrected.labels, "Edema"), [np.nan])


def test_no_finding_is_applied_after_the_row_is_selected(tmp_path: Path) -> None:
    table = chexpert(
        tmp_path,
        row(1, 1, Edema="1.0"),
        row(1, 2, No_Finding="1.0", Fracture="1.0"),
        row(2, 1, No_Finding="1.0"),
    )
    paper = select(table, "chexpert", PAPER)
    assert cell(paper.labels, "Edema") == cell(paper.labels, "Fracture") == [0, 0]
    assert paper.cleared_by.tolist() == [1, 2]
    corrected = select(table, "chexpert", CORRECTED)
    np.testing.assert_equal(cell(corrected.labels, "Edema"), [1, 0])
    np.testing.assert_equal(cell(corrected.labels, "Fracture"), [np.nan, 0])
    for selection in (paper, corrected):  # tasks that CheXpert does not label stay missing
        assert np.isnan(selection.labels[:, TASK_INDEX["Mass"]]).all()


def test_only_the_paper_protocol_keeps_ap_images(tmp_path: Path) -> None:
    table = chexpert(tmp_path, row(1, 1, view="AP"), row(1, 2), row(2, 1, view="AP"), row(3, 1, view="L"))
    assert select(table, "chexpert", PAPER).index.tolist() == [0, 2]
    assert select(table, "chexpert", CORRECTED).index.tolist() == [1]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (row(1, 1, Edema="2.0"), "'Edema'"),
        (row(1, 1, Pleural_Effusion="yes"), "'Pleural Effusion'"),
        (row(1, 1, No_Finding="x"), "'No Finding'"),
        (row(1, 1).replace("patient00001", "someone"), "'Path'"),
        (row(5, 1), "earlier"),
    ],
)
def test_bad_rows_are_set_aside_with_a_reason(tmp_path: Path, line: str, word: str) -> None:
    table = chexpert(tmp_path, row(5, 1), line)
    assert len(table.rows) == 1
    assert [(entry.row, word in entry.reason) for entry in table.quarantine] == [(3, True)]


@pytest.mark.parametrize("inside", ["", "CheXpert-v1.0-small/"])
def test_pictures_are_found_below_or_above_the_release_folder(tmp_path: Path, inside: str) -> None:
    picture = tmp_path / "pictures" / f"{inside}train/patient00001/study1/view1_frontal.jpg"
    picture.parent.mkdir(parents=True)
    picture.touch()
    table = chexpert(tmp_path, row(1, 1), row(1, 2), images=tmp_path / "pictures")
    assert table.rows["path"].tolist() == [f"{inside}train/patient00001/study1/view1_frontal.jpg"]
    assert [entry.row for entry in table.quarantine] == [3]


def batch(folder: Path, name: str, patient: int) -> None:
    picture = folder / name / f"patient{patient:05d}/study1/view1_frontal.jpg"
    picture.parent.mkdir(parents=True)
    picture.touch()


def test_pictures_are_found_in_the_batches_of_the_full_release(tmp_path: Path) -> None:
    images = tmp_path / "chexpert"
    batch(images, "CheXpert-v1.0 batch 2 (train 1)", 11)
    batch(images, "CheXpert-v1.0 batch 3 (train 2)", 12)
    batch(images, "CheXpert-v1.0 batch 4 (train 3)", 13)
    batch(images, "CheXpert-v1.0 batch 2 (train 1)", 13)
    rows = [row(patient, 1, root="CheXpert-v1.0") for patient in (11, 12, 13, 14)]
    table = chexpert(tmp_path, *rows, images=images)
    assert table.rows["path"].tolist() == [
        "CheXpert-v1.0 batch 2 (train 1)/patient00011/study1/view1_frontal.jpg",
        "CheXpert-v1.0 batch 3 (train 2)/patient00012/study1/view1_frontal.jpg",
    ]
    assert table.rows["image"].iloc[0] == "train/patient00011/study1/view1_frontal.jpg"
    twice, nowhere = table.quarantine
    assert (twice.row, "several folders" in twice.reason) == (4, True)
    assert (nowhere.row, "expected patientNNNNN/studyN/view.jpg" in nowhere.reason) == (5, True)


def test_a_path_that_leads_out_of_the_batches_is_not_followed(tmp_path: Path) -> None:
    batch(tmp_path / "chexpert", "batch 2", 11)
    (tmp_path / "chexpert/secret.jpg").touch()
    outside = row(11, 1).replace("study1/view1_frontal.jpg", "../../secret.jpg")
    assert len(chexpert(tmp_path, outside, images=tmp_path / "chexpert").rows) == 0


def test_labels_of_the_test_set_need_no_columns_about_the_image(tmp_path: Path) -> None:
    cells = ",".join("1" if name == "Pleural Effusion" else "0" for name in NAMES)
    views = ["view1_frontal", "view2_lateral"]
    lines = [f"test/patient64800/study1/{view}.jpg,{cells}" for view in views]
    (tmp_path / "test_labels.csv").write_text("\n".join(["Path," + FINDINGS, *lines]))
    table = read_chexpert(tmp_path / "test_labels.csv", None)
    assert table.rows["view"].tolist() == ["Frontal", "Lateral"]
    assert table.rows["sex"].isna().all()
    assert table.rows["age"].isna().all()
    assert table.states[:, TASK_INDEX["Effusion"]].tolist() == [POSITIVE, POSITIVE]
    assert not table.quarantine
    assert select(table, "chexpert", PAPER).index.tolist() == [0]
