"""SHA-256 of files, and a list of them beside a model's file, which also `sha256sum --check` reads."""

import hashlib
from pathlib import Path
from typing import Final

from xray.errors import LearningError

SUMS: Final = "SHA256SUMS"
WEIGHTS: Final = "model.safetensors"
"""The file of a network that was trained here."""


def sha256(path: Path) -> str:
    """The content hash of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path, name: str) -> str:
    """Note the hash of the file `name` of a folder beside it; the hash."""
    digest = sha256(folder / name)
    (folder / SUMS).write_text(f"{digest}  {name}\n", encoding="ascii")
    return digest


def check_sums(folder: Path) -> None:
    """Raise `LearningError` where a file of the folder is not as it was noted, or gone; nothing is asked without a note."""
    noted = folder / SUMS
    lines = noted.read_text(encoding="ascii", errors="replace").splitlines() if noted.exists() else []
    for line in lines:
        digest, _, name = line.partition("  ")
        file = folder / name
        if not file.is_file() or sha256(file) != digest:
            raise LearningError(
                f"{file}: not the file that was stored (its hash is in {noted}): restore it from a backup"
            )
