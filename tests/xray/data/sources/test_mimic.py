import gzip
from pathlib import Path

import pytest

from xray.data.protocol import load_protocol
from xray.data.selection import select
from xray.data.sources.base import SourceTable
from xray.data.sources.mimic import read_mimic_ch, read_mimic_nb
from xray.errors import DataError
from xray.tasks import TASK_INDEX

NAMES = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,"
    "Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)
LABELS = [
    "subject_id,study_id," + NAMES,
    "10000032,50414267,,,,,,,,,1.0,,,,,",
    "10000980,50985099,,1.0,-1.0,0.0,,,,,,,,,,",
    "10000980,59988438,1.0,0.0,,,,,,,,,,,,",
    "10000999,51111111,1.0,,,,,,,,,,,,,",
]
METADATA = [
    "dicom_id,subject_id,study_id,ViewPosition,Rows,Columns,StudyDate",
    "aaaa,10000032,50414267,LATERAL,3056,2544,21800506",
    "bbbb,10000032,50414267,PA,3056,2544,21800506",
    "cccc,10000980,50985099,PA,2022,1870,21910917",
    "dddd,10000980,59988438,PA,2022,1870,21910917",
    "eeee,10000000,50000000,PA,1,1,21910917",
]


def mimic(tmp_path: Path, labeller: str = "chexpert", images: Path | None = None) -> SourceTable:
    (tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz").write_bytes(gzip.compress("\n".join(METADATA).encode()))
    path = tmp_path / f"mimic-cxr-2.0.0-{labeller}.csv"
    path.write_text("\n".join(LABELS))
    return (read_mimic_ch if labeller == "chexpert" else read_mimic_nb)(path, images)


def test_labels_are_joined_to_images(tmp_path: Path) -> None:
    (tmp_path / "mimic-cxr-2.0.0-split.csv").write_text(
        "dicom_id,study_id,subject_id,split\nbbbb,1,1,train\n"
    )
    table = mimic(tmp_path)
    assert table.rows["image"].tolist() == ["aaaa", "bbbb", "cccc", "dddd"]
    assert table.rows["patient"].tolist() == ["10000032", "10000032", "10000980", "10000980"]
    assert table.rows["view"].tolist() == ["LATERAL", "PA", "PA", "PA"]
    assert table.rows["path"].tolist()[1] == "files/p10/p10000032/s50414267/bbbb.jpg"
    assert table.rows["split"].tolist() == ["", "train", "", ""]
    reasons = {(entry.file, entry.row): entry.reason for entry in table.quarantine}
    assert "no image" in reasons["mimic-cxr-2.0.0-chexpert.csv", 5]
    assert "no labels" in reasons["mimic-cxr-2.0.0-metadata.csv.gz", 6]
    assert len(reasons) == 2


def test_labels_are_stitched_in_paper_and_of_the_own_row_in_corrected(tmp_path: Path) -> None:
    table = mimic(tmp_path)
    for name, atelectasis in [("paper", 1), ("corrected", None)]:
        selection = select(table, "mimic_ch", load_protocol(name))
        assert selection.index.tolist() == [1, 2]
        assert selection.labels[0, TASK_INDEX["Effusion"]] == 0  # No Finding
        assert selection.labels[1, TASK_INDEX["Cardiomegaly"]] == 1
        label = selection.labels[1, TASK_INDEX["Atelectasis"]]
        assert (None if label != label else label) == atelectasis


def test_both_labellers_name_the_same_images(tmp_path: Path) -> None:
    assert mimic(tmp_path, "negbio").rows["image"].tolist() == mimic(tmp_path).rows["image"].tolist()
    assert read_mimic_nb(tmp_path, None).rows["image"].tolist() == ["aaaa", "bbbb", "cccc", "dddd"]


def test_the_other_labellers_file_is_refused(tmp_path: Path) -> None:
    mimic(tmp_path, "negbio")
    with pytest.raises(DataError, match="negbio"):
        read_mimic_ch(tmp_path / "mimic-cxr-2.0.0-negbio.csv", None)


def test_mimic_needs_its_metadata_file(tmp_path: Path) -> None:
    mimic(tmp_path)
    (tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz").unlink()
    with pytest.raises(DataError, match="metadata"):
        read_mimic_ch(tmp_path, None)


@pytest.mark.parametrize(
    "layout",
    ["files/p10/p10000032/s50414267/bbbb.jpg", "p10/p10000032/s50414267/bbbb.jpg", "flat/bbbb.jpg"],
)
def test_pictures_are_found_in_every_folder_layout(tmp_path: Path, layout: str) -> None:
    (tmp_path / "pictures" / layout).parent.mkdir(parents=True)
    (tmp_path / "pictures" / layout).touch()
    assert mimic(tmp_path, images=tmp_path / "pictures").rows["path"].tolist() == [layout]
