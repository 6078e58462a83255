"""Under which account PostgreSQL runs, with what rights, and how it is tied to the process that started it.

PostgreSQL refuses to run as root. So root hands it to another account. That account may not be able to reach
the data or the programs (a folder like /root is closed to it): then it gets one capability that opens the
way, the weakest that does.
"""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from db.errors import ServerError

PR_SET_PDEATHSIG: Final = 1
PR_SET_KEEPCAPS: Final = 8
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_RAISE: Final = 2
CAPABILITY_VERSION: Final = 0x20080522
CAP_DAC_OVERRIDE: Final = 1
CAP_DAC_READ_SEARCH: Final = 2
CAP_KILL: Final = 5
WAYS: Final = ((), (CAP_DAC_READ_SEARCH,), (CAP_DAC_OVERRIDE,))
"""Capabilities to try, weakest first. Containers often have only the last."""

NO_CHANGE: Final = "changing the account"

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Account:
    """A user of the operating system that PostgreSQL can run as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Launcher:
    """How programs of the server are started: as `account` (None: as we are) with `capabilities`."""

    account: Account | None
    capabilities: tuple[int, ...] = ()

    def run(
        self, command: Sequence[str], stdin: str = "", lock: int = -1
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end, with all output in `stdout`. The program holds the lock `lock`, if there is one."""
        return subprocess.run(
            command,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=_environment(),
            preexec_fn=self._before_exec(),
            pass_fds=[lock] if lock >= 0 else [],
        )

    def start(self, command: Sequence[str], output: int, lock: int) -> "subprocess.Popen[bytes]":
        """Start a program that writes to the descriptor `output` and holds the lock `lock`.

        It gets SIGINT when this process dies.
        """
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_environment(),
            preexec_fn=self._before_exec(),
            pass_fds=[lock],
        )

    def _before_exec(self) -> Callable[[], None]:
        parent = os.getpid()

        def prepare() -> None:
            self.assume()
            if sys.platform == "linux":
                # Last: a change of credentials clears it.
                _prctl(PR_SET_PDEATHSIG, signal.SIGINT)
                if os.getppid() != parent:
                    os._exit(1)

        return prepare

    def assume(self) -> None:
        """Turn this process (a fresh fork of root) into the account. Raises OSError."""
        if self.account is None:
            return
        if self.capabilities:
            _prctl(PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setgid(self.account.gid)
        os.setuid(self.account.uid)
        if self.capabilities:
            _set_capabilities(self.capabilities)

    def obstacle(self, folders: Sequence[Path], program: Path) -> str | None:
        """What keeps the account from passing through `folders` or running `program`; None if nothing does.

        Tried in a child process, since mode bits alone don't tell (ACLs, network file systems, containers).
        """
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                self.assume()
                for folder in (*folders, program.parent):
                    for step in (*reversed(folder.parents), folder):
                        os.stat(os.path.join(step, "."))
                program.open("rb").close()
                os.dup2(os.open(os.devnull, os.O_RDWR), 1)
                os.execv(program, [str(program), "--version"])
            except OSError as error:
                where = os.path.normpath(error.filename) if error.filename else NO_CHANGE
                os.write(writer, f"{where}: {error.strerror}".encode())
            finally:
                os._exit(1)
        os.close(writer)
        with open(reader, "rb") as file:
            reason = file.read().decode()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return reason or (f"{program} ends with {code}" if code else None)


def server_account(data: Path) -> Account | None:
    """Whom the server runs as: None (as we are) unless we are root.

    As root: the owner of the data directory, of its folder, `postgres`, `nobody`; the first that is not root.
    """
    if os.geteuid() != 0:
        return None
    for folder in (data, data.parent):
        if folder.exists() and folder.stat().st_uid != 0:
            return _account_of(folder.stat())
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise ServerError(
        "PostgreSQL does not run as root, and there is neither a user 'postgres' nor 'nobody': "
        "run as an ordinary user, or create the user 'postgres'"
    )


def find_launcher(account: Account | None, folders: Sequence[Path], program: Path) -> Launcher:
    """The launcher with the least rights by which `account` reaches `folders` and runs `program`.

    Raises ServerError that names what is in the way.
    """
    if account is None:
        return Launcher(None)
    if sys.platform == "linux" and not _effective_capabilities() & 1 << CAP_KILL:
        raise ServerError(
            f"root here lacks the capability CAP_KILL, so it could not stop a server that runs as "
            f"'{account.name}': grant it, or run as an ordinary user"
        )
    reasons = []
    for capabilities in WAYS if sys.platform == "linux" else WAYS[:1]:
        launcher = Launcher(account, capabilities)
        reason = launcher.obstacle(folders, program)
        if reason is None:
            return launcher
        reasons.append(reason)
    if reasons[0].startswith(NO_CHANGE):
        raise ServerError(
            f"PostgreSQL does not run as root, and root here may not run it as user '{account.name}' "
            f"({reasons[0]}); a container or sandbox forbids it. Run as an ordinary user"
        )
    raise ServerError(
        f"PostgreSQL does not run as root, and as user '{account.name}' it can't get past {reasons[0]}. "
        f"Open that folder to '{account.name}' (chmod o+x), choose another home, or run as an ordinary user"
    )


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
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _prctl(option: int, value: int, argument: int = 0) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(argument), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")


def _set_capabilities(capabilities: Sequence[int]) -> None:
    """Make `capabilities` the only ones, and let them outlive exec (ambient)."""
    bits = sum(1 << capability for capability in capabilities)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)(bits, bits, bits, 0, 0, 0)  # effective, permitted, inheritable; high words
    if _libc.capset(header, sets) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"capset: {os.strerror(number)}")
    for capability in capabilities:
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)
