"""Faults that strike a run at a moment: each is placed before, strikes once, and is mended before the next run."""

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from benchmarks._forks import Fork

ROLES: Final = ("main", "pool", "api", "database", "keeper")
KILLS: Final = tuple(f"kill-{role}" for role in ROLES)
STOP_SECONDS: Final = 20.0
HOME_MB: Final = 400
LEFT_MB: Final = 3


@dataclass
class Fault:
    """A fault without place: nothing is to be made ready or mended. chance: what it draws from."""

    name: str
    chance: random.Random
    is_end: bool = False
    """Whether the run itself is killed."""

    @property
    def spares_servers(self) -> bool:
        """Whether no server is struck, so that the run may do with an API that is there."""
        return self.name in ("kill-main", "kill-pool")

    @contextmanager
    def prepare(self, home: Path) -> Iterator[None]:
        """Make ready what the home lies on."""
        yield

    def strike(self, run: Fork) -> str:
        """Do it; what was done, empty where there was nothing to strike."""
        raise NotImplementedError

    def mend(self) -> None:
        """Put right what was done, as a user would."""


def _wait_for(run: Fork, role: str) -> list[int]:
    """Processes of a role, as soon as there are some; none where the run ends before."""
    while run.poll() is None:
        if process := run.role(role):
            return process
        time.sleep(0.02)
    return []


class Kill(Fault):
    """kill −9 of one process."""

    def strike(self, run: Fork) -> str:
        """Kill it."""
        role = self.name.removeprefix("kill-")
        self.is_end = role == "main"
        process = _wait_for(run, role)
        if not process:
            return ""
        os.kill(self.chance.choice(process), signal.SIGKILL)
        return f"{role} killed"


class Stop(Fault):
    """SIGSTOP of one process, SIGCONT some time later."""

    def strike(self, run: Fork) -> str:
        """Stop it and let it go on."""
        role = self.chance.choice(ROLES)
        process = _wait_for(run, role)
        if not process:
            return ""
        pid = self.chance.choice(process)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(STOP_SECONDS)
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return f"{role} stopped, and gone since"
        return f"{role} stopped for {STOP_SECONDS:.0f} s"


class Disk(Fault):
    """A small disk of its own under the home, which fills up or gives out of inodes."""

    def __init__(self, name: str, chance: random.Random) -> None:
        super().__init__(name, chance)
        self.folder = Path()

    @contextmanager
    def prepare(self, home: Path) -> Iterator[None]:
        """A tmpfs where the home will be."""
        shutil.rmtree(home, ignore_errors=True)
        self.folder = home.parent / "disk"
        self.folder.mkdir(exist_ok=True)
        options = f"size={HOME_MB}m,nr_inodes=20000"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder], check=True)
        home.symlink_to(self.folder / "home")
        (self.folder / "home").mkdir()
        try:
            yield
        finally:
            home.unlink(missing_ok=True)
            for _ in range(100):
                if subprocess.run(["umount", self.folder], capture_output=True).returncode == 0:
                    break
                time.sleep(0.2)

    def mend(self) -> None:
        """Make room."""
        shutil.rmtree(self.folder / "filler", ignore_errors=True)


class Full(Disk):
    """No room is left."""

    def strike(self, run: Fork) -> str:
        """Fill the disk, up to nothing or some megabytes."""
        filler = self.folder / "filler"
        filler.mkdir()
        left = self.chance.choice((0, 0, 1, LEFT_MB)) * 2**20
        free = os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_frsize
        descriptor = os.open(filler / "file", os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):  # the run has taken some meanwhile
            os.posix_fallocate(descriptor, 0, max(4096, free - left))
        os.close(descriptor)
        return f"the disk filled up to {left >> 20} MB"


class NoInodes(Disk):
    """No further file can be made."""

    def strike(self, run: Fork) -> str:
        """Make files until no more can be made."""
        filler = self.folder / "filler"
        filler.mkdir()
        number = 0
        try:
            while True:
                (filler / f"{number}").touch()
                number += 1
        except OSError:
            return f"{number} files made, all that could be"


class ReadOnly(Fault):
    """A disk that turns read-only, as one does after an error: an ext4 file system that is told to abort."""

    def __init__(self, name: str, chance: random.Random) -> None:
        super().__init__(name, chance)
        self.folder, self.image = Path(), Path()

    @contextmanager
    def prepare(self, home: Path) -> Iterator[None]:
        """A file system in a file."""
        shutil.rmtree(home, ignore_errors=True)
        self.folder, self.image = home.parent / "disk", home.parent / "disk.image"
        self.folder.mkdir(exist_ok=True)
        with self.image.open("wb") as file:
            file.truncate(HOME_MB * 2**20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)
        self._mount()
        home.symlink_to(self.folder / "home")
        (self.folder / "home").mkdir()
        try:
            yield
        finally:
            home.unlink(missing_ok=True)
            self._unmount()
            self.image.unlink()

    def _mount(self) -> None:
        subprocess.run(["mount", "-o", "loop,errors=remount-ro", self.image, self.folder], check=True)

    def _unmount(self) -> None:
        for _ in range(150):
            if subprocess.run(["umount", self.folder], capture_output=True).returncode == 0:
                return
            time.sleep(0.2)

    def strike(self, run: Fork) -> str:
        """Let it abort."""
        subprocess.run(["mount", "-o", "remount,abort", self.folder], check=True)
        return "the disk turned read-only"

    def mend(self) -> None:
        """Check and mount it again."""
        self._unmount()
        subprocess.run(["e2fsck", "-p", self.image], capture_output=True)
        self._mount()


class NoMemory(Fault):
    """One process of Python gets no more memory from some moment on."""

    def strike(self, run: Fork) -> str:
        """Limit the address space to what it has now, and a little."""
        role = self.chance.choice(("main", "pool", "pool", "api"))
        process = _wait_for(run, role)
        if not process:
            return ""
        pid, more = self.chance.choice(process), self.chance.choice((0, 1, 16, 64)) * 2**20
        try:
            limit = psutil.Process(pid).memory_info().vms + more
            resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
        except (psutil.Error, ProcessLookupError):
            return ""
        return f"{role} without memory but for {more >> 20} MB"


class DeadLink(Fault):
    """The home is behind a link that leads nowhere from some moment on."""

    def __init__(self, name: str, chance: random.Random) -> None:
        super().__init__(name, chance)
        self.link, self.target = Path(), Path()

    @contextmanager
    def prepare(self, home: Path) -> Iterator[None]:
        """A link to the home."""
        shutil.rmtree(home, ignore_errors=True)
        self.link, self.target = home, home.parent / "behind the link"
        self.target.mkdir()
        home.symlink_to(self.target)
        try:
            yield
        finally:
            home.unlink(missing_ok=True)
            shutil.rmtree(self.target, ignore_errors=True)  # a server that ends may take files away beside us

    def strike(self, run: Fork) -> str:
        """Let it lead nowhere."""
        self.link.unlink()
        self.link.symlink_to(self.link.parent / "nowhere")
        return "the link died"

    def mend(self) -> None:
        """Let it lead home."""
        self.link.unlink()
        self.link.symlink_to(self.target)


def with_shifted_clock() -> None:
    """Begin this program again with a clock that can be shifted before all else, as the fault of the clock needs.

    libfaketime can't do it: under it Python's sleep ends with EINVAL where the monotonic clock is to be left alone.
    """
    if "SHIFTED_CLOCK" in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="xray-clock-"))
    folder.chmod(0o755)  # PostgreSQL may run as another account
    library, shift = folder / "clock.so", folder / "shift"
    source = Path(__file__).with_name("clock.c")
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    shift.write_text("0")
    os.environ |= {"LD_PRELOAD": str(library), "SHIFTED_CLOCK": str(shift)}
    os.execv(sys.executable, [sys.executable, "-m", "benchmarks.kills", *sys.argv[1:]])


class Clock(Fault):
    """The time of day jumps for all processes: a shift in a file that benchmarks/clock.c reads."""

    def strike(self, run: Fork) -> str:
        """Let it jump, forwards or back."""
        jump = self.chance.choice((-400, -86400, -3600, 3600, 86400, 40 * 86400))
        Path(os.environ["SHIFTED_CLOCK"]).write_text(f"{jump:+d}")
        return f"the clock jumped by {jump} s"

    def mend(self) -> None:
        """The next run has the right time again."""
        Path(os.environ["SHIFTED_CLOCK"]).write_text("0")


FAULTS: Final = {
    **dict.fromkeys(KILLS, Kill),
    "stop": Stop,
    "disk-full": Full,
    "no-inodes": NoInodes,
    "read-only": ReadOnly,
    "no-memory": NoMemory,
    "dead-link": DeadLink,
    "clock": Clock,
}


def make(name: str, chance: random.Random) -> Fault:
    """A fault by its name."""
    return FAULTS[name](name, chance)
