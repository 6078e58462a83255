import io
import tarfile
from pathlib import Path

import pytest

from xray.data.protocol import load_protocol
from xray.data.selection import select
from xray.data.sources.openi import read_openi
from xray.errors import DataError
from xray.tasks import TASK_INDEX, TASKS


def report(number: int, automatic: list[str], images: list[str], major: str = "Mass/lung") -> str:
    terms = "".join(f"<automatic>{term}</automatic>" for term in automatic)
    pictures = "".join(f'<parentImage id="{image}"><caption/></parentImage>' for image in images)
    return (
        f'<eCitation><uId id="CXR{number}"/><MeSH><major>{major}</major>{terms}</MeSH>{pictures}</eCitation>'
    )


REPORTS = {
    "10.xml": report(10, ["Opacity", "mass lesion"], ["CXR10_a"]),
    "2.xml": report(2, ["Infiltrates", "Atelectases", "Pleural Thickening"], ["CXR2_a", "CXR2_b"]),
    "3.xml": report(3, ["calcified granuloma", "lung consolidation"], ["CXR3_a"]),
    "4.xml": report(4, [], ["CXR4_a"]),
    "5.xml": report(5, ["opacity"], []),
    "6.xml": "<eCitation><uId id='CXR6'/>",
}
FOUND = [
    {"Infiltration", "Atelectasis", "Pleural_Thickening"},
    set(),
    set(),
    {"Lung Opacity", "Lung Lesion", "Mass"},
]


def write(folder: Path, packed: bool) -> Path:
    if packed:
        with tarfile.open(folder / "NLMCXR_reports.tgz", "w:gz") as archive:
            for name, text in REPORTS.items():
                member = tarfile.TarInfo(f"ecgen-radiology/{name}")
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))
        return folder / "NLMCXR_reports.tgz"
    (folder / "ecgen-radiology").mkdir()
    for name, text in REPORTS.items():
        (folder / "ecgen-radiology" / name).write_text(text)
    return folder / "ecgen-radiology"


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_reports_give_images_views_and_labels(tmp_path: Path, packed: bool, inside: bool) -> None:
    (tmp_path / "nlmcxr_tsne_pa.csv").write_text(
        "imageid,tsne-view\nCXR2_a,L\nCXR2_b,PA\nCXR3_a,PA\nCXR10_a,PA\n"
    )
    header = "imageid,Patient's Birth Date,Study Date,View Position,Patient's Sex\n"
    (tmp_path / "nlmcxr_dicom_metadata.csv").write_text(header + "CXR4_a,19550820,20110328,LL,F\n")
    folder = write(tmp_path, packed)
    table = read_openi(tmp_path if inside else folder, None)
    assert table.rows["image"].tolist() == ["CXR2_a", "CXR2_b", "CXR3_a", "CXR4_a", "CXR10_a"]
    assert table.rows["patient"].tolist() == ["CXR2", "CXR2", "CXR3", "CXR4", "CXR10"]
    assert table.rows["view"].tolist() == ["L", "PA", "PA", "LL", "PA"]
    assert table.rows["age"].tolist()[3] == 56
    assert table.rows["sex"].tolist()[3] == "F"
    assert [(entry.file, "XML" in entry.reason) for entry in table.quarantine] == [("6.xml", True)]
    assert table.notes == ["1 reports name no image"]
    values = [{task for task in TASKS if row[TASK_INDEX[task]] == 1} for row in table.states[[0, 2, 3, 4]]]
    assert values == FOUND
    assert (table.states[:, TASK_INDEX["Consolidation"]] == -2).all()
    paper = select(table, "openi", load_protocol("paper"))
    assert paper.index.tolist() == [4, 1, 2]  # patients in text order: CXR10, CXR2, CXR3
    assert select(table, "openi", load_protocol("corrected")).index.tolist() == [1, 2, 4]


def test_missing_companion_files_are_reported(tmp_path: Path) -> None:
    table = read_openi(write(tmp_path, packed=True), None)
    assert [note.split()[0] for note in table.notes] == [
        "1",
        "nlmcxr_dicom_metadata.csv",
        "nlmcxr_tsne_pa.csv",
    ]
    assert table.rows["view"].isna().all()


def test_images_without_a_picture_are_set_aside(tmp_path: Path) -> None:
    (tmp_path / "CXR3_a.png").touch()
    table = read_openi(write(tmp_path, packed=False), tmp_path)
    assert table.rows["path"].tolist() == ["CXR3_a.png"]
    assert len(table.states) == 1
    assert {entry.image for entry in table.quarantine} >= {"CXR2_a", "CXR2_b", "CXR4_a", "CXR10_a"}


@pytest.mark.parametrize("content", [b"", b"not a tar"])
def test_an_unreadable_archive_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "NLMCXR_reports.tgz").write_bytes(content)
    with pytest.raises(DataError, match="NLMCXR"):
        read_openi(tmp_path / "NLMCXR_reports.tgz", None)
    with pytest.raises(DataError, match="no such"):
        read_openi(tmp_path / "nowhere", None)
