"""Study files by name: the bundled ones, and any by its path."""

from pathlib import Path
from typing import TYPE_CHECKING

from xray.errors import StudyError

if TYPE_CHECKING:
    from xray.study import Study

FOLDER = Path(__file__).resolve().parents[1] / "studies"


def bundled_studies() -> list[str]:
    """Names of the bundled study files."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def study_file(study: str) -> Path:
    """The file of a study: the name of a bundled one, or a path. Raises `StudyError` where it is neither."""
    path = Path(study).expanduser()
    if path.suffix == ".toml" and path.exists():
        return path.resolve()
    if study in bundled_studies():
        return FOLDER / f"{study}.toml"
    raise StudyError(
        f"there is no study {study!r}; give the path of a .toml file, or one of {', '.join(bundled_studies())}"
    )


def read_here(path: Path) -> "Study":
    """The study of a file, its registered datasets of the sites under which they stand in this home's database.

    The database is asked only where the file leaves a site open: a mistake in the file is told before anything starts.
    """
    from flows.platform import storage
    from xray.plan import read_sited
    from xray.study import read_study

    study = read_study(path)
    if all(dataset.site_stated for dataset in study.datasets):
        return study
    with storage() as databases, databases.engine().begin() as connection:
        return read_sited(connection, path)
