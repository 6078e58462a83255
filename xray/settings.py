"""Where this installation keeps its things: one folder, `XRAY_HOME` (default `.xray` in the current folder)."""

import os
import socket
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path


def home() -> Path:
    """The platform's folder, absolute: database, pixel caches, models, figures. Made where it is missing."""
    folder = Path(os.environ.get("XRAY_HOME") or ".xray").expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def artifacts() -> Path | str:
    """Where new MLflow artifacts go: XRAY_ARTIFACTS (a URI such as s3://bucket/folder), else a folder of the home."""
    return os.environ.get("XRAY_ARTIFACTS") or home() / "mlflow" / "artifacts"


@cache
def code_version() -> dict[str, str]:
    """Version of the code and of the libraries that numbers depend on; `commit` where the code is a git checkout."""
    packages = ("torch", "torchvision", "timm", "numpy", "scikit-learn", "mlflow", "prefect")
    versions = {name: metadata.version(name) for name in packages}
    return {"xray": metadata.version("xray"), **_commit(), **versions}


def provenance() -> dict[str, str]:
    """What stored rows say of where they come from: code version, and the host, worker and flow run that wrote them."""
    told = {"flow_run": os.environ.get("XRAY_FLOW_RUN"), "worker": os.environ.get("XRAY_WORKER")}
    return {**code_version(), "host": socket.gethostname(), **{k: v for k, v in told.items() if v}}


def _commit() -> dict[str, str]:
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {}
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return {"commit": subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()}
    except (OSError, subprocess.CalledProcessError):
        return {}
