"""One standing stack for all tests of it, on ports of its own."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from flows.standing.api import Api
from flows.standing.place import Stack as StackFolder
from flows.standing.place import client_environment
from tests.homes import Home


@dataclass(frozen=True)
class Stack:
    """A stack that runs: its home, and Prefect's API."""

    home: Home
    platform: StackFolder
    api: Api

    def status(self, exit_code: int = 0) -> dict[str, Any]:
        """What `xray status --json` says."""
        overview: dict[str, Any] = json.loads(self.home.run("status", "--json", exit_code=exit_code).stdout)
        return overview

    def database_password(self) -> str:
        """The password that this home's processes know PostgreSQL by."""
        (one, *_) = (
            process
            for process in processes_of(self.home.path)
            if b"XRAY_SERVICE=prefect" in environment_of(process)
        )
        (url,) = (v for v in environment_of(one).split(b"\0") if v.startswith(b"XRAY_DATABASE_URL="))
        return str(make_url(url.decode().partition("=")[2]).password)


def environment_of(process: int) -> bytes:
    """What a process was started with."""
    return Path(f"/proc/{process}/environ").read_bytes()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`xray up` in a new home; `xray down` at the end, which must leave nothing.

    Where temporary files are, Prefect's usual folder can't be had, as after another account's worker.
    """
    home = Home(tmp_path_factory.mktemp("a stack") / "xray home")
    temporary = Path(tempfile.mkdtemp())
    (temporary / "runner_storage").touch()
    home.variables["TMPDIR"] = str(temporary)
    home.run("up")
    folder = StackFolder(home.path)
    state = folder.running()
    assert state is not None
    own = client_environment(folder, state)
    yield Stack(home, folder, Api(own["PREFECT_API_URL"], own["PREFECT_API_AUTH_STRING"]))
    home.run("down")
    shutil.rmtree(temporary)


def processes_of(home: Path) -> list[int]:
    """Living processes that have a home in their environment or arguments."""
    processes = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            about = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            state = (process / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if str(home).encode() in about and state != "Z" and int(process.name) != os.getpid():
            processes.append(int(process.name))
    return processes
