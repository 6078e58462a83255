"""What a machine or a server refuses, in one sentence: a full disk, a closed folder, a PostgreSQL that is gone, no memory.

Libraries wrap what the operating system said, and an error from another process has lost it; so the text counts too.
"""

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from db.errors import ServerError, XrayError

AGAIN: Final = "run the same command again; it continues where it stopped"
FULL: Final = (errno.ENOSPC, errno.EDQUOT)
LITTLE: Final = 16 * 2**20
"""Bytes free on a disk below which a database server that ended is told to have ended for that."""
FEW: Final = 5000
"""Inodes free below which their number is told: a home has some thousand files."""
SAID: Final = {
    errno.ENOSPC: ("No space left on device", "DiskFull", "database or disk is full"),
    errno.EDQUOT: ("Disk quota exceeded",),
    errno.EROFS: ("Read-only file system",),
    errno.ENOMEM: (
        "Cannot allocate memory",
        "can't allocate memory",
        "not enough memory",
        "failed to map segment",
        "can't start new thread",
    ),
    errno.EMFILE: ("Too many open files",),
}
UNUSABLE: Final = (
    "unable to open database file",
    "attempt to write a readonly database",
    "disk I/O error",
)
"""What SQLite says of a file that it can't use: why, only the file system knows."""
ADVICE: Final = {
    errno.EROFS: "it must be writable; remount it, or choose another folder with XRAY_HOME",
    errno.EACCES: "it must belong to you; choose another folder with XRAY_HOME, or let its owner open it",
    errno.EPERM: "it must belong to you; choose another folder with XRAY_HOME, or let its owner open it",
    errno.ENOTDIR: "a folder was expected; choose another with XRAY_HOME",
    errno.EISDIR: "a file was expected",
    errno.EEXIST: "it is in the way; move it, or choose another folder with XRAY_HOME",
    errno.ELOOP: "its links lead in a circle",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: f"allow more (ulimit -n) and {AGAIN}",
    errno.ENFILE: f"the machine allows no more now; {AGAIN}",
    errno.EIO: f"the disk may be failing; when it works again, {AGAIN}",
    errno.ESTALE: f"the network folder is gone; when it is back, {AGAIN}",
}
STATES: Final = {
    "42501": "the role of XRAY_DATABASE_URL may not do this: name one that may",
    "25006": "it may only read: name a role that may write in XRAY_DATABASE_URL",
    "53300": f"when other commands have ended, {AGAIN}",
    "57014": "the query was cancelled, or took longer than it may",
}


def sentence(error: BaseException, home: Path) -> str | None:
    """What to tell a user of an error that has a cause outside of xray; None where it may be a fault of ours.

    home: the folder that is named where the error names no file.
    """
    for link in _chain(error):
        message = _of_cause(link, home)
        if message:
            return message
    return None


def _of_cause(error: BaseException, home: Path) -> str | None:
    number = _number(error)
    if number in FULL:
        own = str(error) if isinstance(error, XrayError) and "\n" not in str(error) else ""
        return f"{own}; {full(home)}" if own else full(_file(error, home))
    if number == errno.ENOMEM:
        return f"out of memory: close other programs, or work with fewer pictures at once (batch_size), and {AGAIN}"
    if isinstance(error, ServerError) and is_full(home):  # which could not even write down why it ended
        return f"PostgreSQL can't run: {full(home)}"
    if isinstance(error, XrayError):
        return str(error)
    if isinstance(error, sqlite3.Error) and any(words in str(error) for words in UNUSABLE):
        return (
            unwritable(home)
            or f"{home}: a file there can't be used ({error}); it must belong to you, and its disk must work"
        )
    if _is_of_database(error):
        return _of_database(error, home)
    if type(error).__name__ == "PrefectHTTPStatusError" and "Server error '5" in str(error):
        return f"Prefect's server can't answer: see {home / 'prefect' / 'server.log'}; {AGAIN}"
    if number in ADVICE:
        name = _file(error, home)
        return f"{name}: {os.strerror(number)}; {ADVICE[number]}"
    return None


def full(file: Path | str) -> str:
    """That the disk of a file is full: which, and how much is free now, when what failed may have been tidied up."""
    if not Path(file).is_absolute():  # standard output
        return f"{file}: its disk is full; free some space, then {AGAIN}"
    folder = existing(Path(file))
    usage = os.statvfs(folder)
    free = f"{usage.f_bavail * usage.f_frsize / 2**20:.0f} MB"
    if usage.f_files and usage.f_favail < FEW:
        free += f" and {usage.f_favail} inodes (one per file)"
    return f"{file}: the disk is full ({free} free in {folder}); free some space, then {AGAIN}"


def is_full(folder: Path) -> bool:
    """Whether so little is free in a folder that PostgreSQL can't go on there."""
    usage = os.statvfs(existing(folder))
    return usage.f_bavail * usage.f_frsize < LITTLE or bool(usage.f_files and not usage.f_favail)


def unwritable(folder: Path) -> str | None:
    """What keeps a folder that is there from being written in, in a sentence; None where it can be."""
    if not folder.is_dir():
        return None
    try:
        if is_full(folder):
            return full(folder)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(4096))
    except OSError as error:
        return sentence(error, folder)
    return None


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next((folder for folder in (path, *path.absolute().parents) if folder.is_dir()), Path("/"))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, then what it came from."""
    ids: set[int] = set()
    while error is not None and id(error) not in ids:
        ids.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _number(error: BaseException) -> int | None:
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = f"{type(error).__name__} {error}"
    return next((number for number, words in SAID.items() if any(word in text for word in words)), None)


def _file(error: BaseException, home: Path) -> Path | str:
    name = getattr(error, "filename2", None) or getattr(
        error, "filename", None
    )  # what was copied to, where there are two
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else home


def _is_of_database(error: BaseException) -> bool:
    names = {f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}" for kind in type(error).__mro__}
    return bool(names & {"sqlalchemy.DBAPIError", "psycopg2.Error"})


def _of_database(error: BaseException, home: Path) -> str | None:
    """Of an error of PostgreSQL's: lost connections, and what is refused; None where the query may be wrong."""
    cause = getattr(error, "orig", None) or error
    state = getattr(cause, "pgcode", None)
    message = (str(cause).strip().splitlines() or ["the connection was lost"])[0]
    if state in STATES:
        return f"PostgreSQL: {message}; {STATES[state]}"
    lost = type(cause).__name__ in ("OperationalError", "InterfaceError") or (state or "")[:2] in (
        "08",
        "53",
        "57",
        "58",
    )
    if not lost:
        return None
    if is_full(home):
        return f"PostgreSQL ended: {full(home)}"
    return f"PostgreSQL: {message}; when it is back, {AGAIN}"
