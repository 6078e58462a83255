"""What a backup is made of: manifest.json, written last, names every file with its size and SHA-256."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from xray.durable import settle_entries
from xray.errors import BackupError

NAME: Final = "manifest.json"
FORMAT: Final = 1
_CHUNK: Final = 2**20


@dataclass(frozen=True)
class File:
    """One file of a backup."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself. databases: name → dump; files: path in the backup → file; left_out: in words."""

    made_at: str
    version: str
    home: str
    databases: dict[str, dict[str, Any]]
    files: dict[str, File]
    left_out: list[str] = field(default_factory=list)
    format: int = FORMAT

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(file.bytes for file in self.files.values())


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest: from here on the backup is whole."""
    plain = asdict(manifest)
    new = folder / f".{NAME}.new"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({**plain, "checksum": _checksum(plain)}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.rename(folder / NAME)
    settle_entries(folder)


def read(folder: Path) -> Manifest:
    """The manifest of a backup. Raises `BackupError` where there is none, or it is damaged or of a newer xray."""
    try:
        plain = json.loads((folder / NAME).read_bytes())
        checksum = plain.pop("checksum")
    except FileNotFoundError:
        raise BackupError(
            f"{folder} has no {NAME}: it is not a backup, or was not finished; make a new one with xray db backup"
        ) from None
    except OSError as error:
        raise BackupError(f"{folder / NAME} can't be read: {error.strerror}") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise BackupError(f"{folder / NAME} is damaged: use another backup") from None
    if plain.get("format") != FORMAT:
        raise BackupError(
            f"{folder} is a backup of format {plain.get('format')}, made by a newer xray: install that first"
        )
    if checksum != _checksum(plain):
        raise BackupError(
            f"{folder / NAME} is damaged: its content does not match its checksum. Use another backup"
        )
    return Manifest(**{**plain, "files": {path: File(**entry) for path, entry in plain["files"].items()}})


def verify(folder: Path, manifest: Manifest, tell: Callable[[int], None] = lambda n: None) -> None:
    """Compare every file with its size and hash. tell: called with the bytes that were read. Raises `BackupError`."""
    for name, expected in manifest.files.items():
        try:
            file = digest(folder / name, tell)
        except OSError as error:
            raise BackupError(
                f"{folder / name}: {error.strerror}: the backup is incomplete: use another"
            ) from None
        if file != expected:
            raise BackupError(
                f"{folder / name} is damaged: {file.bytes} bytes with SHA-256 {file.sha256[:12]}…, "
                f"expected {expected.bytes} with {expected.sha256[:12]}…. Use another backup"
            )


def digest(path: Path, tell: Callable[[int], None] = lambda n: None) -> File:
    """Size and hash of a file."""
    hashed, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
            size += len(chunk)
            tell(len(chunk))
    return File(size, hashed.hexdigest())


def copy(source: Path, target: Path) -> File:
    """Copy a file for its owner only, to the disk; size and hash of what was written."""
    hashed, size = hashlib.sha256(), 0
    for folder in [parent for parent in reversed(target.parents) if not parent.exists()]:
        folder.mkdir(mode=0o700)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with source.open("rb", buffering=0) as file, open(descriptor, "wb", buffering=0) as copied:
        while chunk := file.read(_CHUNK):
            copied.write(chunk)
            hashed.update(chunk)
            size += len(chunk)
        os.fsync(copied.fileno())
    return File(size, hashed.hexdigest())


def _checksum(plain: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
