"""What is asked for of a dataset. Apart from what prepares one, as that takes long to import."""

from dataclasses import dataclass
from pathlib import Path

from xray.errors import StudyError
from xray.names import check_name
from xray.pixels.reading import AS_STORED, Reading


@dataclass(frozen=True)
class Phantom:
    """A dataset to be drawn: one of the known phantom sites, so many patients, pictures of `size` pixels."""

    site: str
    patients: int
    size: int = 64
    seed: int = 0


@dataclass(frozen=True)
class DatasetRequest:
    """A dataset that is asked for: drawn (`phantom`), read from files (`labels`, `images`), or registered (neither).

    images: where the pictures are, by default beside the labels. labels_only: register no pictures.
    findings: declared beside those of the default list: a column of the label file with such a name is a finding's.
    reading: how the files of its pictures are read.
    mapping: a mapping file, which says what the columns of `labels` are.
    readers: how its label follows from several readers' (`sources.panel`); None: as the mapping says, or by majority.
    site_stated: whether somebody said the site; else it is that of the registered dataset, or the dataset's name.
    """

    name: str
    site: str
    source: str
    labels: Path | None
    images: Path | None
    phantom: Phantom | None
    labels_only: bool = False
    findings: tuple[str, ...] = ()
    reading: Reading = AS_STORED
    mapping: Path | None = None
    readers: str | None = None
    site_stated: bool = True

    def __post_init__(self) -> None:
        """Raise `StudyError` for a name of dataset or site that can't be one: they name folders, too."""
        check_name("dataset", self.name, StudyError)
        check_name("site", self.site, StudyError)
