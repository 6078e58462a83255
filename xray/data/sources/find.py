"""The label files of the study's datasets in a folder, as far as they are present."""

from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from xray.data.sources import chexpert, google, nih, openi, padchest, rsna
from xray.data.sources.base import SourceTable, sources
from xray.data.sources.datasets import published_datasets
from xray.errors import DataError

PATTERNS: Final[dict[str, tuple[str, ...]]] = {
    "nih": nih.PATTERNS,
    "padchest": padchest.PATTERNS,
    "chexpert": chexpert.PATTERNS,
    "mimic_ch": ("mimic-cxr-*-chexpert.csv*",),
    "mimic_nb": ("mimic-cxr-*-negbio.csv*",),
    "openi": (*openi.FOLDERS, *openi.REPORTS),
    "google": google.PATTERNS,
    "rsna": rsna.PATTERNS,
}
"""Names of each dataset's label file; the first pattern that matches counts."""


def find_labels(folder: Path) -> dict[str, Path]:
    """Dataset → its label file in the folder, or in a folder in it (the shallowest, then the first by name)."""
    files = sorted(_files(folder), key=lambda path: (len(path.parts), path))
    label_files = {}
    for name, patterns in PATTERNS.items():
        matching = [path for pattern in patterns for path in files if fnmatch(path.name, pattern)]
        if matching:
            label_files[name] = matching[0]
    return label_files


def read_published(folder: Path) -> dict[str, SourceTable]:
    """The rows of every published dataset whose label file is in the folder. Raises `DataError` where none is."""
    files = find_labels(folder)
    if not files:
        raise DataError(
            f"{folder}: no label file of {', '.join(published_datasets())}; expected names such as "
            f"{', '.join(patterns[0] for patterns in PATTERNS.values())}"
        )
    return {name: sources()[name](path, None) for name, path in files.items()}


def _files(folder: Path) -> list[Path]:
    """What is in the folder and in its folders."""
    entries = list(folder.iterdir())
    return entries + [path for inner in entries if inner.is_dir() for path in inner.iterdir()]
