from pathlib import Path

import numpy as np

from xray.data.protocol import load_protocol
from xray.data.selection import select
from xray.data.sources.base import SourceTable
from xray.data.sources.padchest import BROKEN, read_padchest
from xray.tasks import TASK_INDEX, TASKS

HEADER = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,"
    "Projection,Manufacturer_DICOM,Report,MethodLabel,Labels"
)
PAPER, CORRECTED = load_protocol("paper"), load_protocol("corrected")


def row(image: str, patient: str, labels: str, projection: str = "PA", birth: str = "1930.0") -> str:
    return (
        f"0,{image},3,20140915,s,{patient},{birth},F,POSTEROANTERIOR,{projection},"
        f'ImagingDynamics,"texto, con coma",RNN,"{labels}"'
    )


def padchest(tmp_path: Path, *rows: str, images: Path | None = None) -> SourceTable:
    path = tmp_path / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
    path.write_text("\n".join([HEADER, *rows]), encoding="utf-8")
    return read_padchest(path, images)


def positives(table: SourceTable, protocol_name: str) -> list[set[str]]:
    selection = select(table, "padchest", load_protocol(protocol_name))
    return [{task for task in TASKS if labels[TASK_INDEX[task]] == 1} for labels in selection.labels]


def test_metadata_are_read_and_reports_are_not_stored(tmp_path: Path) -> None:
    table = padchest(tmp_path, row("a.png", "839860488694292331637988235681460987", "['normal']"))
    first = table.rows.iloc[0]
    assert first["patient"] == "839860488694292331637988235681460987"
    assert (first["path"], first["view"], first["age"], first["sex"]) == ("3/a.png", "PA", 84, "F")
    assert (first["MethodLabel"], first["Manufacturer_DICOM"]) == ("RNN", "ImagingDynamics")
    assert "Report" not in table.rows.columns


def test_terms_match_by_substring_in_paper_and_whole_in_corrected(tmp_path: Path) -> None:
    cases = [
        ("['pseudonodule']", {"Nodule"}, set()),
        ("['subcutaneous emphysema']", {"Emphysema"}, set()),
        ("['mediastinal mass']", {"Mass"}, set()),
        ("['pericardial effusion']", {"Effusion"}, set()),
        ("['nodule', 'cardiomegaly']", {"Nodule", "Cardiomegaly"}, {"Nodule", "Cardiomegaly"}),
        ("['pleural effusion']", {"Effusion"}, {"Effusion"}),
        ("['air bronchogram']", {"Infiltration", "Consolidation"}, {"Infiltration", "Consolidation"}),
        ("['apical pleural thickening']", {"Pleural_Thickening"}, {"Pleural_Thickening"}),
        ("['reticulonodular interstitial pattern']", {"Infiltration"}, {"Infiltration"}),
        ("['laminar atelectasis', 'rib fracture']", {"Atelectasis", "Fracture"}, {"Atelectasis", "Fracture"}),
        ("['normal']", set(), set()),
        ("['']", set(), set()),
    ]
    table = padchest(tmp_path, *(row(f"{i}.png", f"{i + 100}", case[0]) for i, case in enumerate(cases)))
    assert positives(table, "paper") == [case[1] for case in cases]
    assert positives(table, "corrected") == [case[2] for case in cases]


def test_labels_are_never_missing_and_cover_fifteen_tasks(tmp_path: Path) -> None:
    table = padchest(tmp_path, row("a.png", "1", "['normal']"))
    for protocol in (PAPER, CORRECTED):
        labels = select(table, "padchest", protocol).labels[0]
        assert np.isnan(labels).sum() == 3
        for task in ("Lung Lesion", "Lung Opacity", "Enlarged Cardiomediastinum"):
            assert np.isnan(labels[TASK_INDEX[task]])


def test_null_labels_and_broken_files_are_set_aside(tmp_path: Path) -> None:
    table = padchest(
        tmp_path, row("a.png", "1", ""), row(BROKEN[0], "1", "['mass']"), row("c.png", "1", "['nodule']")
    )
    assert table.rows["image"].tolist() == ["c.png"]
    assert [(entry.row, entry.image) for entry in table.quarantine] == [(2, "a.png"), (3, BROKEN[0])]
    assert positives(table, "paper") == [{"Nodule"}]


def test_only_frontal_views_of_the_protocol_count(tmp_path: Path) -> None:
    rows = [
        row(f"{i}.png", str(i), "['mass']", view)
        for i, view in enumerate(["L", "PA", "AP", "", "PA_horizontal"])
    ]
    table = padchest(tmp_path, *rows)
    assert select(table, "padchest", PAPER).index.tolist() == [1, 4]
    selection = select(table, "padchest", CORRECTED)
    assert selection.index.tolist() == [1]
    assert selection.left_out == {"view is not PA": 3, "view unknown": 1}


def test_the_paper_protocol_orders_images_by_patient(tmp_path: Path) -> None:
    rows = [row("a.png", "20", "['mass']"), row("b.png", "9", "['nodule']"), row("c.png", "20", "['hernia']")]
    table = padchest(tmp_path, *rows)
    assert select(table, "padchest", PAPER).index.tolist() == [1, 0]
    assert select(table, "padchest", CORRECTED).index.tolist() == [0, 1]
    long = [row("a.png", "20" + "0" * 30, "['mass']"), row("b.png", "9" + "0" * 29, "['nodule']")]
    assert select(padchest(tmp_path, *long), "padchest", PAPER).index.tolist() == [0, 1]


def test_pictures_are_found_in_flat_and_numbered_folders(tmp_path: Path) -> None:
    for name in ("flat/a.png", "numbered/3/a.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    rows = row("a.png", "1", "['mass']")
    assert padchest(tmp_path, rows, images=tmp_path / "flat").rows["path"].tolist() == ["a.png"]
    assert padchest(tmp_path, rows, images=tmp_path / "numbered").rows["path"].tolist() == ["3/a.png"]
