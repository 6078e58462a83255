"""What a stack keeps under XRAY_HOME/stack: lock, state, ports, secrets and logs. And how commands find a running one."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from xray import settings


@dataclass(frozen=True)
class Options:
    """What `xray up` was asked for. Ports of 0: the last ones, the usual ones, or free ones."""

    host: str = "127.0.0.1"
    prefect_port: int = 0
    mlflow_port: int = 0
    explorer_port: int = 0
    gpu_workers: int = 1
    cpu_workers: int = 1
    names: Sequence[str] = ()
    """Further names by which browsers ask for the servers, such as that of a proxy before them."""


@dataclass
class ServiceState:
    """One service as `xray status` tells it. phase: starting, ready, waiting (to be started again) or stopped."""

    name: str
    phase: str = "stopped"
    pid: int = 0
    url: str = ""
    restarts: int = 0
    since: float = 0.0
    detail: str = ""


@dataclass
class State:
    """The stack as its supervisor sees it. phase: starting, ready, stopping or failed."""

    pid: int
    phase: str
    since: float
    options: dict[str, Any] = field(default_factory=dict)
    services: list[ServiceState] = field(default_factory=list)
    detail: str = ""

    def url(self, service: str) -> str:
        """Where a service is reached; empty where it is not."""
        return next((entry.url for entry in self.services if entry.name == service), "")


@dataclass(frozen=True)
class Stack:
    """The folder of a stack."""

    home: Path

    @property
    def folder(self) -> Path:
        """XRAY_HOME/stack, made where it is missing; for its owner only."""
        path = self.home / "stack"
        path.mkdir(mode=0o700, exist_ok=True)
        if path.stat().st_mode & 0o077:
            path.chmod(0o700)
        return path

    def log(self, service: str) -> Path:
        """The log of a service."""
        return self.folder / f"{service}.log"

    def logs(self) -> list[str]:
        """Names of the services that have a log."""
        return sorted(path.stem for path in self.folder.glob("*.log"))

    def state(self) -> State | None:
        """What the supervisor wrote last, whether it lives or not."""
        try:
            raw = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return State(**{**raw, "services": [ServiceState(**service) for service in raw["services"]]})

    def write_state(self, state: State) -> None:
        """Replace the state, at once."""
        self._write("state.json", json.dumps(asdict(state), indent=1))

    def clear_state(self) -> None:
        """No stack runs any more."""
        (self.folder / "state.json").unlink(missing_ok=True)

    def running(self) -> State | None:
        """The state of the supervisor that lives here, or None."""
        if not (self.home / "stack" / "lock").exists() or not self.is_held():
            return None
        return self.state()

    @contextlib.contextmanager
    def lock(self) -> Iterator[bool]:
        """Hold the supervisor's lock; False where another one has it, and not just a command that looks who has it."""
        with contextlib.ExitStack() as locks:
            try:
                locks.enter_context(FileLock(self.folder / "lock", timeout=1, poll_interval=0.02))
            except Timeout:
                yield False
            else:
                yield True

    def is_held(self) -> bool:
        """Whether a supervisor's process lives here."""
        with (self.folder / "lock").open("ab") as file:
            try:
                fcntl.flock(
                    file, fcntl.LOCK_SH | fcntl.LOCK_NB
                )  # shared: who looks does not keep another from looking
            except BlockingIOError:
                return True
        return False

    def remembered(self, name: str) -> dict[str, Any]:
        """A small JSON file of the folder; empty where there is none."""
        try:
            content = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def remember(self, name: str, values: dict[str, Any]) -> None:
        """Write such a file; only its owner reads it."""
        self._write(name, json.dumps(values, indent=1))

    def passwords(self) -> dict[str, str]:
        """The servers' passwords and the key of pseudonyms, made once, in a file that only its owner reads."""
        names = ("prefect_password", "mlflow_password", "explorer_password", "pseudonym_key")
        with FileLock(self.folder / "secrets.lock", poll_interval=0.02):
            stored = self.remembered("secrets.json")
            if not all(stored.get(name) for name in names):
                stored = {name: secrets.token_urlsafe(24) for name in names} | {
                    k: v for k, v in stored.items() if v
                }
                self.remember("secrets.json", stored)
        return {name: str(stored[name]) for name in names}

    def _write(self, name: str, text: str) -> None:
        unfinished = self.folder / f".{name}.{os.getpid()}"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        unfinished.replace(self.folder / name)


def this_stack() -> Stack:
    """The place of this installation's stack."""
    return Stack(settings.home())


def client_environment(stack: Stack, state: State) -> dict[str, str]:
    """What a program needs to talk to the stack's servers, with their passwords."""
    variables = {"XRAY_HOME": str(stack.home)}
    own = stack.passwords()
    if url := state.url("prefect"):
        variables |= {
            "PREFECT_API_URL": f"{url}/api",
            "PREFECT_API_AUTH_STRING": f"admin:{own['prefect_password']}",
        }
    if url := state.url("mlflow"):
        variables |= {"MLFLOW_TRACKING_URI": url, "MLFLOW_TRACKING_USERNAME": "admin"}
        variables["MLFLOW_TRACKING_PASSWORD"] = own["mlflow_password"]
    return variables
