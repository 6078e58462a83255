"""Published label files, where they lie beside the project."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from db.results import Analysis
from xray.data.sources.base import SourceTable, sources

FILES = {
    "nih": "Data_Entry_2017.csv.gz",
    "google": "google2019_nih-chest-xray-labels.csv.gz",
    "openi": "NLMCXR_reports.tgz",
    "rsna": "kaggle_stage_2_train_labels.csv.zip",
}


@pytest.fixture(scope="session")
def published() -> dict[str, SourceTable]:
    """The rows of the four datasets whose real label files can be shared."""
    folder = Path(__file__).parents[3] / "../shared/data/labels"
    if not folder.is_dir():
        pytest.skip("the published label files are not there")
    return {name: sources()[name](folder / file, None) for name, file in FILES.items()}


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
