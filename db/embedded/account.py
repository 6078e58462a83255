"""Under which account PostgreSQL runs, without any capability, and how it is tied to the process that started it.

PostgreSQL refuses to run as root. So root hands it to another account. What lies below folders that are closed to that
account (root's home) it gets open: a descriptor that it inherits and names /proc/self/fd/N. A path through a
descriptor starts there, so the folders above need not let it pass.
"""

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from db.errors import ServerError
from db.ties import end_with_parent, prctl

PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
CAPABILITY_VERSION: Final = 0x20080522
CAPABILITIES: Final = 64
"""How many the kernel's format has room for; it knows fewer."""

NEEDED: Final = {"chown": 0, "dac_override": 1, "kill": 5, "setgid": 6, "setuid": 7}
"""What root must be able to do to run a server as another account: every container's default."""

KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Variables that the server gets. Others may be secrets, which a process of its account could read."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Account:
    """A user of the operating system that PostgreSQL can run as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class OpenPath:
    """How programs of the server name a file or folder, and the descriptors that they must inherit for that."""

    name: str
    descriptors: tuple[int, ...] = ()


@dataclass(frozen=True)
class Launcher:
    """How programs of the server are started: as `account` (None: as we are), without capabilities."""

    account: Account | None

    @contextlib.contextmanager
    def path_for(self, path: Path) -> Iterator[OpenPath]:
        """A file or folder of the account's, as a program that is started in this block can name it."""
        if self.account is None or sys.platform != "linux":
            yield OpenPath(str(path))
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield OpenPath(f"/proc/self/fd/{descriptor}", (descriptor,))
        finally:
            os.close(descriptor)

    def run(
        self, command: Sequence[str], stdin: str = "", descriptors: Sequence[int] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end, with all output in `stdout`. The program inherits the `descriptors`."""
        return subprocess.run(
            command,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            cwd="/",
            env=_environment(),
            preexec_fn=self._before_exec(),
            pass_fds=descriptors,
        )

    def start(
        self, command: Sequence[str], output: int, descriptors: Sequence[int]
    ) -> "subprocess.Popen[bytes]":
        """Start a program that writes to the descriptor `output` and inherits the `descriptors`.

        It gets SIGINT when this process dies.
        """
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=_environment(),
            preexec_fn=self._before_exec(),
            pass_fds=descriptors,
        )

    def _before_exec(self) -> Callable[[], None]:
        parent = os.getpid()

        def prepare() -> None:
            self.assume()
            # Last: a change of credentials clears it.
            if not end_with_parent(parent, signal.SIGINT):
                os._exit(1)

        return prepare

    def assume(self) -> None:
        """Turn this process (a fresh fork) into the account, with nothing that it or its children can gain back.

        Raises OSError.
        """
        if sys.platform == "linux":
            _empty_bounding_set()
        if self.account is not None:
            os.setgroups([])
            os.setgid(self.account.gid)
            os.setuid(self.account.uid)
        if sys.platform == "linux":
            _renounce()

    def owns(self, target: Path | int) -> None:
        """Make the account the owner of a path (no link is followed) or a descriptor."""
        if self.account is not None:
            follow = {"follow_symlinks": False} if isinstance(target, Path) else {}
            os.chown(target, self.account.uid, self.account.gid, **follow)

    def obstacle(self, folder: Path, program: Path | None = None) -> str | None:
        """What keeps the account from passing through `folder`, or running `program` there; None if nothing does.

        Tried in a child process, since mode bits alone don't tell (ACLs, network file systems, containers).
        """
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                self.assume()
                for step in (*reversed(folder.parents), folder):
                    os.stat(os.path.join(step, "."))
                if program is None:
                    os._exit(0)
                program.open("rb").close()
                os.dup2(os.open(os.devnull, os.O_RDWR), 1)
                os.execve(program, [str(program), "--version"], _environment())
            except OSError as error:
                source = f"{os.path.normpath(error.filename)}: " if error.filename else ""
                os.write(writer, f"{source}{error.strerror}".encode())
            finally:
                os._exit(1)
        os.close(writer)
        with open(reader, "rb") as file:
            reason = file.read().decode()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return reason or (f"{program or folder}: the attempt ended with {code}" if code else None)


def find_launcher(data: Path) -> Launcher:
    """The launcher for the server on `data`: as we are, or for root as an account that root may use.

    Raises ServerError that says what root lacks.
    """
    if os.geteuid() != 0:
        return Launcher(None)
    missing = [name for name, bit in NEEDED.items() if not _effective_capabilities() >> bit & 1]
    if missing:
        lacks = ", ".join(f"CAP_{name.upper()}" for name in missing)
        raise ServerError(
            f"PostgreSQL does not run as root, and root here lacks the privileges to run it as another account "
            f"({lacks}): grant it (a container has it by default), or run as an ordinary user"
        )
    refusals = []
    for account in _candidates(data):
        refusal = Launcher(account).obstacle(Path("/"))
        if refusal is None:
            return Launcher(account)
        refusals.append(f"'{account.name}': {refusal}")
    if refusals:
        raise ServerError(
            f"PostgreSQL does not run as root, and root here may not run it as another account "
            f"({'; '.join(refusals)}); a container or sandbox forbids it. Run as an ordinary user"
        )
    raise ServerError(
        "PostgreSQL does not run as root, and there is neither a user 'postgres' nor 'nobody': "
        "run as an ordinary user, or create the user 'postgres'"
    )


def _candidates(data: Path) -> Iterator[Account]:
    """Whom root can hand the server to: the owner of the data or of their folder, who alone can use them; or whoever
    there is."""
    for folder in (data, data.parent):
        if folder.exists() and folder.stat().st_uid != 0:
            yield _account_of(folder.stat())
            return
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            if entry.pw_uid != 0:
                yield Account(name, entry.pw_uid, entry.pw_gid)


def tie(pid: int) -> int | None:
    """Where the kernel can't tie `pid` to this process (all but Linux): fork a watcher that does; its pid."""
    return None if sys.platform == "linux" else watch(pid)


def watch(pid: int) -> int:
    """Fork a process that sends SIGINT to `pid` when this process has died; the watcher's pid."""
    reader, writer = os.pipe()
    watcher = os.fork()
    if watcher == 0:
        os.dup2(reader, 0)
        os.closerange(1, os.sysconf("SC_OPEN_MAX"))
        os.read(0, 1)  # returns when the last writer, our parent, is gone
        os.kill(pid, signal.SIGINT)
        os._exit(0)
    os.close(reader)
    os.set_inheritable(writer, False)
    return watcher


def _account_of(owner: os.stat_result) -> Account:
    try:
        return Account(pwd.getpwuid(owner.st_uid).pw_name, owner.st_uid, owner.st_gid)
    except KeyError:
        return Account(str(owner.st_uid), owner.st_uid, owner.st_gid)


def _environment() -> dict[str, str]:
    return {**{name: os.environ[name] for name in KEPT if name in os.environ}, "LC_ALL": "C"}


def _effective_capabilities() -> int:
    """One bit for each; all of them where the system has none (not Linux)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return -1
    return int(next(line.split()[1] for line in lines if line.startswith("CapEff:")), 16)


def _empty_bounding_set() -> None:
    """No program started from here on can get a capability from its file. Only root may do this; others need not."""
    for capability in range(CAPABILITIES):
        if _libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) != 0:
            return  # EINVAL: the last one was the last; EPERM: no_new_privs does as much


def _renounce() -> None:
    """Drop every capability of this process, and keep setuid programs from giving more to it or to its children."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    nothing = (
        ctypes.c_uint32 * 6
    )()  # effective, permitted, inheritable, in two words; ambient ones go with them
    if _libc.capset(header, nothing) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"capset: {os.strerror(number)}")
