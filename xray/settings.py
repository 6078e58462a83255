"""Where this installation keeps its things: one folder, `XRAY_HOME` (default `.xray` in the current folder)."""

import logging
import os
import platform
import socket
import stat
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from xray.errors import XrayError
from xray.names import readable

_log = logging.getLogger(__name__)
ARTIFACTS: Final = Path("mlflow", "artifacts")
"""Where MLflow's artifacts are in a home."""
COMMAND: Final = "XRAY_COMMAND"
"""The variable with the command line that this process was started by, as `xray` sets it."""
CPU_RUNTIME: Final = "XRAY_CPU_RUNTIME"
"""The variable with what scores pictures on a CPU: torch or onnxruntime."""
ONNXRUNTIME: Final = "onnxruntime"
TASK_RUNNER: Final = "XRAY_TASK_RUNNER"
"""The variable with the cluster that runs a flow's tasks, dask://HOST:PORT or ray://HOST:PORT; empty: our processes."""


def home_path() -> Path:
    """Where the platform's folder is or would be, absolute."""
    return Path(os.path.realpath(_home_setting()))  # unlike `resolve`, of links that lead in a circle too


def _home_setting() -> Path:
    return Path(os.environ.get("XRAY_HOME") or ".xray").expanduser().absolute()


def home() -> Path:
    """The platform's folder: database, pixel caches, models, figures. Made where it is missing.

    For its owner only: one that is open to other accounts is closed to them. Not behind a dead link, which most often leads
    to a disk that is not mounted now: raises `XrayError`.
    """
    _check_links(_home_setting())
    folder = home_path()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = folder.stat()
    if stat.S_IMODE(about.st_mode) & 0o077 and about.st_uid == os.geteuid():
        with suppress(OSError):  # a disk that can't be written, or has no modes, is for others to complain of
            folder.chmod(0o700)
            if stat.S_IMODE(folder.stat().st_mode) == 0o700:
                _log.warning("%s was open to other accounts: closed to them (mode 0700)", folder)
    return folder


def _check_links(path: Path) -> None:
    for folder in (path, *path.parents):
        if folder.is_symlink() and not folder.exists():
            raise XrayError(
                f"{folder} is a link to {os.readlink(folder)}, which does not exist: mount its disk, create the folder, or "
                "choose another home with XRAY_HOME"
            )


def artifacts() -> Path | str:
    """Where new MLflow artifacts go: XRAY_ARTIFACTS (a URI such as s3://bucket/folder), else a folder of the home."""
    return os.environ.get("XRAY_ARTIFACTS") or home() / ARTIFACTS


def cpu_runtime() -> str | None:
    """What scores pictures on a CPU: "torch" or "onnxruntime"; None if unsaid. Raises `XrayError` for other words."""
    setting = os.environ.get(CPU_RUNTIME) or None
    if setting not in (None, "torch", ONNXRUNTIME):
        raise XrayError(f"{CPU_RUNTIME}: expected torch or {ONNXRUNTIME}, found {setting!r}")
    return setting


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs tasks. kind: dask or ray. address: HOST:PORT of its scheduler."""

    kind: str
    address: str

    @property
    def is_local(self) -> bool:
        """Whether its scheduler is on this machine's own loopback."""
        return urlsplit(f"//{self.address}").hostname in ("localhost", "127.0.0.1", "::1")


def cluster() -> Cluster | None:
    """The cluster that runs tasks; None where this machine's own processes do. Raises `XrayError` for what names none."""
    setting = os.environ.get(TASK_RUNNER, "").strip()
    if not setting:
        return None
    parts = urlsplit(setting)
    try:
        has_address = bool(parts.hostname and parts.port)
    except ValueError:
        has_address = False
    if parts.scheme not in ("dask", "ray") or not has_address or parts.path.strip("/"):
        raise XrayError(f"{TASK_RUNNER}: expected dask://HOST:PORT or ray://HOST:PORT, found {setting!r}")
    return Cluster(parts.scheme, parts.netloc)


@cache
def code_version() -> dict[str, str]:
    """Version of the code and of the libraries that numbers depend on; `commit` where the code is a git checkout."""
    packages = (
        "torch",
        "torchvision",
        "timm",
        "accelerate",
        "safetensors",
        "numpy",
        "scikit-learn",
        "mlflow",
        "prefect",
    )
    versions = {name: metadata.version(name) for name in packages}
    return {"xray": metadata.version("xray"), **_commit(), **versions}


def provenance() -> dict[str, str]:
    """What stored rows say of where they come from: code version, and the host, worker and flow run that wrote them."""
    origin = {"flow_run": os.environ.get("XRAY_FLOW_RUN"), "worker": os.environ.get("XRAY_WORKER")}
    return {**code_version(), "host": socket.gethostname(), **{k: v for k, v in origin.items() if v}}


def bringing() -> dict[str, str]:
    """What rows of things made elsewhere say of who brought them: as `provenance`, with the account and the command."""
    command = os.environ.get(COMMAND, "")
    return {**provenance(), "user": _account(), **({"command": readable(command)[:2000]} if command else {})}


def _account() -> str:
    """Who runs this process: the system's name, or number, of it; never what the environment calls itself."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


@cache
def hardware() -> dict[str, str | int]:
    """What this process computes on: system, processor and its cores, and the GPU where there is one."""
    import torch

    machine: dict[str, str | int] = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
    }
    if torch.cuda.is_available():
        machine |= {"gpu": torch.cuda.get_device_name(), "gpus": torch.cuda.device_count()}
    return machine


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _commit() -> dict[str, str]:
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {}
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return {"commit": subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()}
    except (OSError, subprocess.CalledProcessError):
        return {}


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the time of a block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
