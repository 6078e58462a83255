"""Published layouts beyond the study's, each on small files in its owners' form."""

import json
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Engine

from xray.data.explained import explain_image
from xray.data.prepare import register_request
from xray.data.protocol import load_protocol
from xray.data.registered import read_named
from xray.data.remove import remove
from xray.data.request import DatasetRequest
from xray.data.sources.base import NEGATIVE, NOT_MENTIONED, POSITIVE, UNCERTAIN, SourceTable, sources
from xray.data.sources.datasets import published_sites
from xray.data.sources.nih import read_nih
from xray.errors import DataError
from xray.tasks import TASK_INDEX

YES, NO, UNSURE, NOTHING = POSITIVE, NEGATIVE, UNCERTAIN, NOT_MENTIONED
NEW = ("vindr", "brax", "chexpert_readers", "mimic_test", "siim", "montgomery", "shenzhen", "tbx11k")


def of(table: SourceTable, finding: str) -> list[int]:
    return [int(state) for state in table.states[:, table.findings.index(finding)]]


def read(source: str, labels: Path, images: Path | None = None) -> SourceTable:
    return sources()[source](labels, images)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_every_layout_has_a_reader_and_a_site() -> None:
    assert set(NEW) <= set(sources())
    assert set(NEW) <= set(published_sites())


# VinDr-CXR

VINDR = (
    "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,Edema,Emphysema,Enlarged PA,"
    "ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,Mediastinal shift,Nodule/Mass,Pleural effusion,Pleural thickening,"
    "Pneumothorax,Pulmonary fibrosis,Rib fracture,Other lesion,COPD,Lung tumor,Pneumonia,Tuberculosis,Other diseases,"
    "No finding"
)


def vindr_row(image: str, reader: str | None, *findings: str) -> str:
    cells = ["1" if name in findings else "0" for name in VINDR.split(",")]
    return ",".join([image, *([reader] if reader else []), *cells])


def test_vindrs_training_images_have_three_readers_and_their_majority(tmp_path: Path) -> None:
    lines = [
        vindr_row("a", "R1", "Cardiomegaly", "Rib fracture"),
        vindr_row("a", "R10", "Cardiomegaly", "Clavicle fracture"),
        vindr_row("a", "R2", "Aortic enlargement"),
        vindr_row("b", "R1", "Tuberculosis"),
        vindr_row("b", "R2", "No finding"),
        vindr_row("b", "R3", "No finding"),
    ]
    (tmp_path / "image_labels_train.csv").write_text("\n".join([f"image_id,rad_id,{VINDR}", *lines]) + "\n")
    touch(tmp_path / "train/a.dicom", tmp_path / "train/b.dicom")
    table = read("vindr", tmp_path, tmp_path)
    assert table.rows["image"].tolist() == ["a", "b"]
    assert table.rows["path"].tolist() == ["train/a.dicom", "train/b.dicom"]
    assert table.rows["view"].tolist() == ["PA", "PA"]
    assert table.quarantine == []
    assert table.panel is not None
    assert table.panel.names == ("R1", "R10", "R2", "R3")
    column = table.findings.index("Fracture")
    assert table.panel.states[:, :, column].tolist() == [[YES, NO], [YES, NOTHING], [NO, NO], [NOTHING, NO]]
    assert of(table, "Fracture") == [YES, NO]  # of a rib for one, of the clavicle for another
    assert of(table, "Cardiomegaly") == [YES, NO]
    assert of(table, "Tuberculosis") == [NO, NO]
    assert of(table, "Hernia") == [NOTHING, NOTHING]
    assert "Aortic enlargement" in table.notes[0]


def test_vindrs_test_images_have_a_consensus(tmp_path: Path) -> None:
    lines = [vindr_row("a", None, "Nodule/Mass", "Pleural effusion"), vindr_row("b", None, "No finding")]
    header = f"image_id,{VINDR.replace('Other diseases', 'Other disease')}"
    (tmp_path / "image_labels_test.csv").write_text("\n".join([header, *lines]) + "\n")
    table = read("vindr", tmp_path / "image_labels_test.csv")
    assert table.panel is None
    assert of(table, "Lung Lesion") == [YES, NO]
    assert of(table, "Effusion") == [YES, NO]


def test_vindrs_boxes_give_each_readers_findings(tmp_path: Path) -> None:
    lines = [
        "a,Cardiomegaly,3,R1,1,2,3,4",
        "a,Cardiomegaly,3,R1,5,6,7,8",
        "a,Nodule/Mass,8,R1,1,2,3,4",
        "a,No finding,14,R2,,,,",
        "a,Cardiomegaly,3,R3,1,2,3,4",
        "b,No finding,14,R1,,,,",
        "b,Splenomegaly,99,R2,1,2,3,4",
    ]
    header = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
    (tmp_path / "train.csv").write_text("\n".join([header, *lines]) + "\n")
    table = read("vindr", tmp_path / "train.csv")
    assert of(table, "Cardiomegaly") == [YES, NO]
    assert of(table, "Lung Lesion") == [NO, NO]
    assert [(entry.row, "unknown finding" in entry.reason) for entry in table.quarantine] == [(8, True)]


def test_invalid_labels_and_second_rows_of_a_reader_are_set_aside(tmp_path: Path) -> None:
    lines = [
        vindr_row("a", "R1", "Edema"),
        vindr_row("a", "R1"),
        vindr_row("b", "R1").replace(",0", ",maybe", 1),
        vindr_row("c", "R1").replace(",0", ",2", 2),
    ]
    (tmp_path / "image_labels_train.csv").write_text("\n".join([f"image_id,rad_id,{VINDR}", *lines]) + "\n")
    table = read("vindr", tmp_path)
    assert table.rows["image"].tolist() == ["a", "b"]  # b's first column is no finding here
    assert [entry.row for entry in table.quarantine] == [3, 5]


def test_a_vindr_dataset_is_registered_split_and_explained(engine: Engine, tmp_path: Path) -> None:
    lines = [
        vindr_row(f"i{k}", f"R{r}", *(["Edema"] if (k + r) % 3 else [])) for k in range(24) for r in range(3)
    ]
    (tmp_path / "image_labels_train.csv").write_text("\n".join([f"image_id,rad_id,{VINDR}", *lines]) + "\n")
    request = DatasetRequest(
        "vindr", published_sites()["vindr"], "vindr", tmp_path, None, None, True, readers="all"
    )
    registration = register_request(engine, request, "corrected")
    assert registration.n_images == 24
    assert not [note for note in registration.notes if "no cohorts" in note]
    assert registration.summary is not None
    assert ("Edema", 24, 24, 0) in {
        (v.finding, v.n, v.disagree, v.tied) for v in registration.summary.readers
    }
    with engine.begin() as connection:
        registered = read_named(connection, "vindr", terms=True)
        remove(connection, "vindr")
    explained = explain_image(registered, str(registered.table.rows["image"][0]), load_protocol("corrected"))
    (edema,) = [label for label in explained.labels if label.task == "Edema"]
    assert (edema.state, edema.term) == ("negative", "all: 2 positive, 1 negative, 0 uncertain")


def test_a_released_test_set_without_projections_names_a_suitable_protocol(
    engine: Engine, tmp_path: Path
) -> None:
    header = f"Path,{CHEXPERT}"
    lines = [f"test/patient9{k:04}/study1/view1_frontal.jpg{',0' * 14}" for k in range(4)]
    (tmp_path / "test_labels.csv").write_text("\n".join([header, *lines]) + "\n")
    registration = register_request(
        engine,
        DatasetRequest(
            "chexpert-test", "stanford", "chexpert", tmp_path / "test_labels.csv", None, None, True
        ),
        "corrected",
    )
    with engine.begin() as connection:
        remove(connection, "chexpert-test")
    (note,) = [note for note in registration.notes if "no cohorts" in note]
    assert note.endswith("(external, for models from elsewhere, tests on 4 of its images)")


# BRAX

CHEXPERT = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Lesion,Lung Opacity,Edema,Consolidation,Pneumonia,Atelectasis,"
    "Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)


def cells(header: str, **values: str) -> str:
    return ",".join(values.get(name.replace(" ", "_"), "") for name in header.split(","))


def test_the_brax_layout_is_read(tmp_path: Path) -> None:
    names = [f"id_p{k}/Study_1/Series_1/image-{k}" for k in range(4)]
    about = [("M", "45", "PA"), ("F", "85 or more", "L"), ("O", "70", "AP"), ("F", "30", "PA")]
    labels = [
        cells(CHEXPERT, Cardiomegaly="1", Edema="-1.0", Pleural_Effusion="0.0"),
        cells(CHEXPERT, No_Finding="1.0"),
        cells(CHEXPERT, Fracture="1"),
        cells(CHEXPERT, Edema="yes"),
    ]
    lines = [
        f"Anonymized_DICOMs/{name}.dcm,images/{name}.png,p{k},{sex},{age},acc{k},20200101,{label},{view},2000,2000,1"
        for k, (name, (sex, age, view), label) in enumerate(zip(names, about, labels, strict=True))
    ]
    header = (
        f"DicomPath,PngPath,PatientID,PatientSex,PatientAge,AccessionNumber,StudyDate,{CHEXPERT},ViewPosition,Rows,Columns,"
        "Manufacturer"
    )
    (tmp_path / "master_spreadsheet_update.csv").write_text("\n".join([header, *lines]) + "\n")
    touch(
        tmp_path / f"images/{names[0]}.png",
        tmp_path / f"{names[1]}.png",
        tmp_path / f"Anonymized_DICOMs/{names[2]}.dcm",
    )
    table = read("brax", tmp_path, tmp_path)
    assert table.rows["path"].tolist() == [
        f"images/{names[0]}.png", f"{names[1]}.png", f"Anonymized_DICOMs/{names[2]}.dcm"
    ]  # fmt: skip
    assert table.rows["image"].tolist() == [f"{name}.png" for name in names[:3]]
    assert table.rows["age"].tolist() == [45, 85, 70]
    assert table.rows["sex"].tolist() == ["M", "F", "O"]
    assert table.rows["view"].tolist() == ["PA", "L", "AP"]
    assert of(table, "Edema") == [UNSURE, NOTHING, NOTHING]
    assert of(table, "Effusion") == [NO, NOTHING, NOTHING]
    assert table.rows["No Finding"].tolist() == ["", "1.0", ""]
    assert "85 or more" in table.notes[0]
    assert [(entry.row, "'Edema'" in entry.reason) for entry in table.quarantine] == [(5, True)]


# CheXpert's test set by its radiologists


def reader_file(path: Path, *rows: tuple[int, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"CheXpert-v1.0/test/patient{p}/study1,{label}" for p, label in rows]
    path.write_text("\n".join([f"Study,{CHEXPERT}", *lines]) + "\n")


def test_every_radiologist_of_chexperts_test_set_is_a_reader(tmp_path: Path) -> None:
    folder = tmp_path / "radiologists"
    for k, says in enumerate(["1", "1", "0", "1", "0"]):
        name = f"bc{(1, 2, 3, 5, 7)[k]}_gt.csv"
        reader_file(
            folder / "groundtruth" / name,
            (64741, cells(CHEXPERT, Edema=says)),
            (64742, cells(CHEXPERT, Edema="0")),
        )
    reader_file(folder / "benchmark_radiologists/bc4.csv", (64741, cells(CHEXPERT, Edema="0")))
    images = tmp_path / "CheXpert"
    touch(
        images / "test/patient64741/study1/view1_frontal.jpg",
        images / "test/patient64741/study1/view2_lateral.jpg",
    )
    table = read("chexpert_readers", folder / "groundtruth", images)
    assert table.rows["image"].tolist() == [
        f"test/patient64741/study1/view{v}.jpg" for v in ("1_frontal", "2_lateral")
    ]
    assert table.rows["view"].tolist() == ["Frontal", "Lateral"]
    assert table.rows["patient"].tolist() == ["patient64741"] * 2
    assert of(table, "Edema") == [YES, YES]
    assert table.panel is not None
    assert table.panel.names == ("bc1", "bc2", "bc3", "bc5", "bc7")
    assert ["patient64742" in entry.reason for entry in table.quarantine] == [True]
    every = read("chexpert_readers", folder)
    assert every.panel is not None
    assert every.panel.names == ("bc4", "bc1", "bc2", "bc3", "bc5", "bc7")
    assert of(every, "Edema") == [UNSURE, NO]  # three of six: a tie
    assert every.rows["image"].tolist() == [f"test/patient6474{k}/study1/view1_frontal.jpg" for k in (1, 2)]
    with pytest.raises(DataError, match="expected a CSV per radiologist"):
        read("chexpert_readers", images)


# MIMIC-CXR-JPG 2.1.0, the radiologist's labels of the test set


def test_mimics_test_set_has_a_radiologists_labels(tmp_path: Path) -> None:
    header = "study_id," + CHEXPERT.replace("Lung Opacity", "Airspace Opacity")
    lines = [
        "50000001," + cells(header[9:], Airspace_Opacity="1", Edema="-1"),
        "50000002," + cells(header[9:], Pneumonia="0"),
        "50000009," + cells(header[9:], Edema="1"),
    ]
    (tmp_path / "mimic-cxr-2.1.0-test-set-labeled.csv").write_text("\n".join([header, *lines]) + "\n")
    metadata = [
        "d1,10000001,50000001,PA",
        "d2,10000001,50000001,LATERAL",
        "d3,10000002,50000002,AP",
        "d4,10000003,50000003,PA",
    ]
    (tmp_path / "mimic-cxr-2.0.0-metadata.csv").write_text(
        "\n".join(["dicom_id,subject_id,study_id,ViewPosition", *metadata]) + "\n"
    )
    table = read("mimic_test", tmp_path)
    assert table.rows["image"].tolist() == ["d1", "d2", "d3"]
    assert table.rows["patient"].tolist() == ["10000001", "10000001", "10000002"]
    assert table.rows["path"].iloc[0] == "files/p10/p10000001/s50000001/d1.jpg"
    assert of(table, "Lung Opacity") == [YES, YES, NOTHING]
    assert of(table, "Edema") == [UNSURE, UNSURE, NOTHING]
    assert of(table, "Pneumonia") == [NOTHING, NOTHING, NO]
    assert [(entry.row, "no image of this study" in entry.reason) for entry in table.quarantine] == [
        (4, True)
    ]


# SIIM-ACR


def test_siims_masks_are_gathered_by_image(tmp_path: Path) -> None:
    lines = [
        "1.2.3.1, -1",
        "1.2.3.2,387620 23 996 33",
        "1.2.3.2,17 2",
        "1.2.3.3,17 2",
        "1.2.3.3,-1",
        "1.2.3.4, ",
    ]
    (tmp_path / "train-rle.csv").write_text("\n".join(["ImageId, EncodedPixels", *lines]) + "\n")
    touch(*(tmp_path / f"dicom-images-train/1.2/1.3/1.2.3.{k}.dcm" for k in (1, 2, 3, 4)))
    table = read("siim", tmp_path, tmp_path)
    assert table.rows["image"].tolist() == ["1.2.3.1", "1.2.3.2"]
    assert table.rows["path"].tolist()[1] == "dicom-images-train/1.2/1.3/1.2.3.2.dcm"
    assert table.rows["masks"].tolist() == ["0", "2"]
    assert of(table, "Pneumothorax") == [NO, YES]
    assert [entry.row for entry in table.quarantine] == [5, 7]
    assert any("DICOM headers can't be read" in note for note in table.notes)


# Tuberculosis


def test_montgomerys_labels_come_from_file_names_and_sex_and_age_from_its_readings(tmp_path: Path) -> None:
    touch(*(tmp_path / f"CXR_png/MCUCXR_000{k}_{label}.png" for k, label in ((1, 0), (2, 1), (3, 1))))
    (tmp_path / "ClinicalReadings").mkdir()
    (tmp_path / "ClinicalReadings/MCUCXR_0001_0.txt").write_text(
        "Patient's Sex: F\nPatient's Age: 027Y\nnormal\n"
    )
    (tmp_path / "ClinicalReadings/MCUCXR_0002_1.txt").write_text(
        "Patient's Sex: M\nPatient's Age: 061Y\ninfiltrate in RUL. Improved 10/22/09.\n"
    )
    table = read("montgomery", tmp_path, tmp_path)
    assert table.rows["image"].tolist() == ["MCUCXR_0001_0", "MCUCXR_0002_1", "MCUCXR_0003_1"]
    assert table.rows["path"].iloc[0] == "CXR_png/MCUCXR_0001_0.png"
    assert table.rows["sex"].tolist() == ["F", "M", None]
    assert table.rows["age"].tolist()[:2] == [27, 61]
    assert pd.isna(table.rows["age"].iloc[2])
    assert of(table, "Tuberculosis") == [NO, YES, YES]
    assert table.rows["findings"].tolist()[1] == "infiltrate in RUL. Improved 10/22/09."
    assert read("montgomery", tmp_path / "ClinicalReadings").rows["image"].tolist() == [
        "MCUCXR_0001_0",
        "MCUCXR_0002_1",
    ]


def test_shenzhen_is_read_from_its_readings_or_a_table(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    touch(
        folder / "CXR_png/CHNCXR_0001_0.png",
        folder / "CXR_png/CHNCXR_0327_1.png",
        folder / "CXR_png/CHNCXR_0399_1.png",
    )
    (folder / "ClinicalReadings").mkdir()
    (folder / "ClinicalReadings/CHNCXR_0001_0.txt").write_text("male 45yrs\nnormal\n")
    (folder / "ClinicalReadings/CHNCXR_0327_1.txt").write_text("female, 6 months\nbilateral PTB\n")
    (folder / "ClinicalReadings/CHNCXR_0399_1.txt").write_text("Female 30yrs\nSTB\n")
    table = read("shenzhen", folder, folder)
    assert table.rows["sex"].tolist() == ["M", "F", "F"]
    assert table.rows["age"].tolist() == [45, 0.5, 30]
    assert of(table, "Tuberculosis") == [NO, YES, YES]
    (tmp_path / "shenzhen_metadata.csv").write_text(
        "study_id,sex,age,findings\nCHNCXR_0001_0.png,Male,45,normal\nCHNCXR_0327_1.png,Female,6,PTB\nother.png,Male,1,x\n"
    )
    same = read("shenzhen", tmp_path / "shenzhen_metadata.csv", folder)
    assert same.rows["image"].tolist() == ["CHNCXR_0001_0", "CHNCXR_0327_1"]
    assert of(same, "Tuberculosis") == [NO, YES]
    assert [entry.row for entry in same.quarantine] == [4]
    with pytest.raises(DataError, match="no picture or clinical reading"):
        read("montgomery", folder)


TBX = ["tb/tb0001.png", "health/h0001.png", "sick/s0001.png", "test/test_0001.png", "extra/da+db/n001.png"]


def test_tbx11k_is_read_from_its_lists_annotations_or_table(tmp_path: Path) -> None:
    (tmp_path / "all_trainval.txt").write_text("\n".join(TBX) + "\n")
    touch(*(tmp_path / "imgs" / name for name in TBX))
    table = read("tbx11k", tmp_path / "all_trainval.txt", tmp_path)
    assert table.rows["image"].tolist() == ["tb0001.png", "h0001.png", "s0001.png", "test_0001.png"]
    assert table.rows["path"].iloc[0] == "imgs/tb/tb0001.png"
    assert of(table, "Tuberculosis") == [YES, NO, NO, NOTHING]
    assert [entry.row for entry in table.quarantine] == [5]
    coco = {
        "images": [{"id": k, "file_name": name} for k, name in enumerate(TBX[:3])],
        "categories": [
            {"id": 1, "name": "ActiveTuberculosis"},
            {"id": 2, "name": "ObsoletePulmonaryTuberculosis"},
        ],
        "annotations": [
            {"image_id": 0, "category_id": 2},
            {"image_id": 0, "category_id": 1},
            {"image_id": 0, "category_id": 1},
        ],
    }
    (tmp_path / "all_trainval.json").write_text(json.dumps(coco))
    table = read("tbx11k", tmp_path / "all_trainval.json")
    assert of(table, "Tuberculosis") == [YES, NO, NO]
    assert table.rows["tb_type"].tolist() == ["ActiveTuberculosis, ObsoletePulmonaryTuberculosis", "", ""]
    (tmp_path / "data.csv").write_text(
        "fname,image_height,image_width,source,bbox,target,tb_type,image_type\n"
        "h0001.png,512,512,train,none,no_tb,none,healthy\ntb0001.png,512,512,train,{},tb,active_tb,tb\n"
        "tb0001.png,512,512,train,{},tb,active_tb,tb\ns0001.png,512,512,val,none,no_tb,none,sick_but_no_tb\n"
    )
    table = read("tbx11k", tmp_path / "data.csv")
    assert table.rows["image"].tolist() == ["h0001.png", "tb0001.png", "s0001.png"]
    assert of(table, "Tuberculosis") == [NO, YES, NO]


# NIH

NIH = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,{sex},View Position"


@pytest.mark.parametrize("sex", ["Patient Sex", "Patient Gender"])
def test_nih_is_read_with_either_spelling_of_the_sex_and_pictures_behind_links(
    tmp_path: Path, sex: str
) -> None:
    lines = [f"0000000{k}_000.png,Mass,0,{k},58,{'MF'[k % 2]},PA" for k in range(1, 5)]
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text("\n".join([NIH.format(sex=sex), *lines]) + "\n")
    images, away = tmp_path / "pictures", tmp_path / "disk"
    touch(images / "images_001/images/00000001_000.png", images / "images_002/images/00000002_000.png")
    touch(away / "images_003/00000003_000.png")
    (images / "images_003").symlink_to(away / "images_003")
    (images / "images_001/round").symlink_to(images)  # a circle
    (images / "00000004_000.png").symlink_to(images / "images_001/images/00000001_000.png")
    table = read_nih(tmp_path / "Data_Entry_2017_v2020.csv", images)
    assert table.quarantine == []
    assert table.rows["path"].tolist() == [
        "images_001/images/00000001_000.png",
        "images_002/images/00000002_000.png",
        "images_003/00000003_000.png",
        "00000004_000.png",
    ]
    assert table.rows["sex"].tolist() == ["F", "M", "F", "M"]
    assert table.states[:, TASK_INDEX["Mass"]].tolist() == [YES] * 4


def test_nih_without_a_column_for_sex_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Data_Entry_2017.csv").write_text(NIH.format(sex="Sex") + "\nx.png,Mass,0,1,58,M,PA\n")
    with pytest.raises(DataError, match=r"'Patient Gender' \(or 'Patient Sex'\)"):
        read_nih(tmp_path, None)
