"""What lies in HOME/postgres, and the locks by which processes agree on one server.

| file | holder of its lock |
|---|---|
| users.lock | every user, shared; the keeper, exclusively, once the last user is gone |
| start.lock | the one user that is just starting a keeper |
| keeper.lock | the keeper, as long as it lives |
| server.lock | PostgreSQL and all its processes, as long as one of them lives |
| stop.lock | whoever asks the keeper to stop |

The locks are BSD locks (flock): the kernel drops them when the holder dies, however it dies.
"""

import fcntl
import hashlib
import json
import os
import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from db.errors import ServerError

Phase = Literal["starting", "ready", "stopping"]

POLL: Final = 0.01
"""Seconds between two looks at a lock or a file that somebody waits for."""

SHARED: Final = fcntl.LOCK_SH
EXCLUSIVE: Final = fcntl.LOCK_EX


@dataclass(frozen=True)
class ServerStatus:
    """What a running keeper says of itself and its server (0 and "" while it does not know yet)."""

    phase: Phase
    keeper_pid: int
    pid: int
    host: str
    port: int
    socket_dir: str
    version: str


@dataclass(frozen=True)
class Folder:
    """The paths in HOME/postgres; `root` is absolute and free of symbolic links."""

    root: Path

    @classmethod
    def of(cls, home: Path) -> "Folder":
        """The folder of `home`, which need not exist. Raises ServerError for a path PostgreSQL can't name."""
        root = Path(home).expanduser().resolve() / "postgres"
        try:
            text = os.fsencode(root).decode("utf-8")
        except UnicodeDecodeError:
            raise ServerError(f"{str(home)!a} is not valid UTF-8: choose another folder") from None
        if "\n" in text or "\r" in text:
            raise ServerError(f"{str(home)!a} contains a line break: choose another folder")
        return cls(root)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.root / "data"

    @property
    def cluster_name(self) -> str:
        """What a server on these data calls itself (`show cluster_name`), also in lists of processes.

        `data_directory` does not tell: for root's server it is the name of a descriptor.
        """
        return f"xray-{hashlib.blake2b(os.fsencode(self.data), digest_size=8).hexdigest()}"

    @property
    def password(self) -> Path:
        """The superuser's password."""
        return self.root / "password"

    def role_password(self, role: str) -> Path:
        """The password of the owner, the writer or the reader."""
        return self.root / f"{role}.password"

    @property
    def state(self) -> Path:
        """What the keeper last said of the server; true only while keeper.lock is held."""
        return self.root / "server.json"

    @property
    def server_log(self) -> Path:
        """PostgreSQL's messages."""
        return self.root / "server.log"

    @property
    def keeper_log(self) -> Path:
        """The keeper's messages."""
        return self.root / "keeper.log"

    def lock(self, name: Literal["users", "start", "keeper", "server", "stop"]) -> Path:
        """The lock file `name`."""
        return self.root / f"{name}.lock"

    def create(self) -> None:
        """Make the folder if it isn't there, and close it to other accounts, the server's among them."""
        if not self.root.is_dir():
            self.root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.root.mkdir(mode=0o700, exist_ok=True)
            self.give(self.root, like=self.root.parent)
        about = self.root.stat()
        if stat.S_IMODE(about.st_mode) != 0o700 and about.st_uid == os.geteuid():
            self.root.chmod(0o700)

    def give(self, target: Path | int, like: Path | None = None) -> None:
        """As root, make the owner of the folder the owner of `what` (a path or a file descriptor)."""
        if os.geteuid() == 0:
            owner = (like or self.root).stat()
            os.chown(target, owner.st_uid, owner.st_gid)

    def open_lock(self, name: Literal["users", "start", "keeper", "server", "stop"]) -> int:
        """A file descriptor on a lock file, not yet locked, closed in programs that this process starts."""
        descriptor = os.open(self.lock(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.give(descriptor)
        return descriptor

    def write(self, path: Path, text: str) -> None:
        """Replace a small private file as a whole (mode 0600): a reader sees the old text or the new."""
        new = path.with_name(path.name + ".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            self.give(descriptor)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        new.replace(path)

    def read_password(self) -> str:
        """The superuser's password; empty where the file is missing or was emptied."""
        try:
            return self.password.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""

    def write_status(self, status: ServerStatus) -> None:
        """Tell the users."""
        self.write(self.state, json.dumps(asdict(status)))

    def read_status(self) -> ServerStatus | None:
        """What the keeper last wrote; None if there is nothing readable."""
        try:
            return ServerStatus(**json.loads(self.state.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None


def try_lock(descriptor: int, kind: int) -> bool:
    """Lock now, or say no."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_lock(descriptor: int, kind: int, seconds: float) -> bool:
    """Lock within `seconds`, or say no."""
    deadline = time.monotonic() + seconds
    while not try_lock(descriptor, kind):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def unlock(descriptor: int) -> None:
    """Drop the lock and keep the descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock file exclusively."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor, SHARED)
    finally:
        os.close(descriptor)


def tail(path: Path, start: int = 0, lines: int = 15) -> str:
    """The last lines of a log file from byte `start` on; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(start, path.stat().st_size - 100_000))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
