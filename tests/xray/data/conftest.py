"""Published label files, where they lie beside the project."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from db.results import Analysis
from xray.data.sources.base import SourceTable, sources

FOLDER = Path(__file__).parents[3] / "../shared/data/labels"
FILES = {
    "nih": "Data_Entry_2017.csv.gz",
    "google": "google2019_nih-chest-xray-labels.csv.gz",
    "openi": "NLMCXR_reports.tgz",
    "rsna": "kaggle_stage_2_train_labels.csv.zip",
}


@pytest.fixture(scope="session")
def published() -> dict[str, SourceTable]:
    """The rows of the four datasets whose real label files can be shared."""
    if not FOLDER.is_dir():
        pytest.skip("the published label files are not there")
    return {name: sources()[name](FOLDER / file, None) for name, file in FILES.items()}


MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"


@pytest.fixture(scope="session")
def rsna_of_nih(published: dict[str, SourceTable], tmp_path_factory: pytest.TempPathFactory) -> SourceTable:
    """The published rows of rsna, read with a mapping to the published images of nih.

    RSNA's own mapping where it lies beside the label files. Else one in its form: each image stands for the next one of nih
    of the same view, sex and age, as far as there are any.
    """
    folder, labels = tmp_path_factory.mktemp("rsna"), FOLDER / FILES["rsna"]
    for file in FOLDER.iterdir():
        (folder / file.name).symlink_to(file.resolve())
    if not (folder / MAPPING).exists():
        alike = ["view", "sex", "age", "nth"]
        rows = {name: published[name].rows[["image", "view", "sex", "age"]] for name in ("nih", "rsna")}
        for frame in rows.values():
            frame["nth"] = frame.groupby(["view", "sex", "age"], dropna=False).cumcount()
        both = rows["rsna"].merge(rows["nih"], on=alike, suffixes=("_rsna", "_nih"))
        pairs = both[["image_nih", "image_rsna"]].to_numpy().tolist()
        (folder / MAPPING).write_text(json.dumps([{"img_id": n, "subset_img_id": r} for n, r in pairs]))
    return sources()["rsna"](folder / labels.name, None)


def write_family(folder: Path, n: int = 60) -> None:
    """The files of nih with n patients, and of rsna with the same images under names of its own, as published."""
    nih = [f"{p:08d}_000.png,{'Pneumonia' if p % 2 else 'No Finding'},0,{p},058Y,M,PA" for p in range(n)]
    (folder / "Data_Entry_2017.csv").write_text("\n".join([NIH_HEADER, *nih]))
    rsna = [f"r{p},,,,,0" if p % 3 else f"r{p},1,2,3,4,1\nr{p},5,6,7,8,1" for p in range(n)]
    (folder / "stage_2_train_labels.csv").write_text("\n".join(["patientId,x,y,width,height,Target", *rsna]))
    people = [f"{p},50,r{p},F,PA" for p in range(n)]
    (folder / "stage_2_train_images_dicom_headers.csv").write_text(
        "\n".join([",PatientAge,PatientID,PatientSex,ViewPosition", *people])
    )
    mapping = [{"img_id": f"{p:08d}_000.png", "subset_img_id": f"r{p}"} for p in range(n)]
    (folder / MAPPING).write_text(json.dumps(mapping))


NIH_HEADER = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"


@pytest.fixture
def write_nih() -> Callable[..., Path]:
    """Writes a small Data_Entry_2017.csv: n patients with two PA images each, every third patient with a Mass."""

    def write(folder: Path, n: int = 40, *extra: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        rows = [
            f"{p:08d}_{i:03d}.png,{'Mass|Nodule' if p % 3 == 0 else 'No Finding'},{i},{p},058Y,M,PA"
            for p in range(1, n + 1)
            for i in range(2)
        ]
        path = folder / "Data_Entry_2017.csv"
        path.write_text("\n".join([NIH_HEADER, *rows, *extra]) + "\n")
        return path

    return write


def row_counts(engine: Engine) -> dict[str, int]:
    """Rows of every table of ours."""
    with engine.connect() as connection:
        return {
            name: connection.execute(
                text(f"select count(*) from {name}")
            ).scalar_one()  # table names are ours
            for name in Analysis.metadata.tables
        }


@pytest.fixture
def count_rows(engine: Engine) -> Callable[[], dict[str, int]]:
    """How many rows every table has now."""
    return lambda: row_counts(engine)
