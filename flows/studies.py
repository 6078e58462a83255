"""Study files by name: those that come along, and any by its path."""

from pathlib import Path

from xray.errors import StudyError

FOLDER = Path(__file__).resolve().parents[1] / "studies"


def known() -> list[str]:
    """Names of the study files that come along."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def study_file(study: str) -> Path:
    """The file of a study: the name of one that comes along, or a path. Raises `StudyError` where it is neither."""
    given = Path(study).expanduser()
    if given.suffix == ".toml" and given.exists():
        return given.resolve()
    if study in known():
        return FOLDER / f"{study}.toml"
    raise StudyError(
        f"there is no study {study!r}; give the path of a .toml file, or one of {', '.join(known())}"
    )
