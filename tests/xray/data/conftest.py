"""Published label files, where they lie beside the project."""

from pathlib import Path

import pytest

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
