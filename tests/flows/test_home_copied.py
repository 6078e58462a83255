"""A home is copied while it is at rest: the copy has its own files; damaged weights and pictures end with one sentence."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from db.embedded.folder import Folder, is_held
from tests.homes import Home

STUDY = """
name = "one"
seeds = [0]
[[datasets]]
name = "one"
phantom = { site = "alpha", patients = 80, size = 32 }
[network]
name = "small_convnet"
image_size = 32
[training]
epochs = 1
batch_size = 16
"""
SCORES = "select image, task, logit from predictions order by 1, 2"


def rest(home: Path) -> None:
    """Wait until the home's server has ended."""
    locks = [Folder.of(home).lock(name) for name in ("keeper", "server")]
    deadline = time.monotonic() + 60
    while any(map(is_held, locks)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def forget_scores(home: Home) -> None:
    """As by another version: everything is to be scored again."""
    script = (
        "import sys; from pathlib import Path; from sqlalchemy import text; from db.connection import databases\n"
        "with databases(Path(sys.argv[1])) as found, found.engine().begin() as connection:\n"
        "    connection.execute(text('delete from evaluation'))"
    )
    subprocess.run([sys.executable, "-c", script, home.path], env=home.environment(), check=True)


def flip(file: Path, every: int) -> None:
    """Flip a bit in each so many-th byte."""
    data = bytearray(file.read_bytes())
    for position in range(every - 9, len(data), every):
        data[position] ^= 16
    file.write_bytes(data)


@pytest.mark.slow
def test_a_copied_home_scores_with_its_own_files_and_names_damaged_ones(new_home, tmp_path):
    study = tmp_path / "one.toml"
    study.write_text(STUDY)
    new_home.run("study", "run", study)
    scores = new_home.sql(SCORES)
    assert len(scores) > 100
    rest(new_home.path)
    copy = Home(tmp_path / "a copy of it")
    subprocess.run(["cp", "-a", new_home.path, copy.path], check=True)
    for file in new_home.path.rglob("*.safetensors"):
        flip(file, 2000)
    for file in new_home.path.rglob("*.png"):
        file.write_bytes(b"")

    forget_scores(copy)
    (pixels,) = copy.path.glob("pixels/*/pixels.raw")
    whole = pixels.read_bytes()
    flip(pixels, 32 * 32)
    process = copy.run("study", "run", study)
    (line,) = [line for line in process.stderr.splitlines() if "made again" in line]
    assert f"{pixels.parent}: {len(whole) // 32**2} damaged picture(s) made again, first {copy.path}" in line
    assert pixels.read_bytes() == whole
    assert copy.sql(SCORES) == scores
    assert copy.run("cache", "verify").stdout == ""

    forget_scores(new_home)
    failed = new_home.run("study", "run", study, exit_code=1)
    (line,) = [line for line in failed.stderr.splitlines() if "is not the one that was stored" in line]
    assert line.startswith("error: one.one/1: ")
    assert "Traceback" not in failed.stderr
    assert str(new_home.path) in line
    rest(copy.path)
    shutil.rmtree(new_home.path / "mlflow")
    failed = new_home.run("study", "run", study, exit_code=1)
    assert "error: one.one/1: its file model.safetensors is missing in " in failed.stderr
    assert "Traceback" not in failed.stderr
