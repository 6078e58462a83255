"""What a database is told of is on the disk first: shown on a file system that is cut off from its disk."""

import os
import subprocess
from pathlib import Path

import pytest

from xray.durable import folder_of, replaced, settle_files, write_whole


@pytest.fixture
def disk(tmp_path: Path):
    """An ext4 file system in a file; `cut` stops all writing to it, as a disk does that fails, and mounts it again."""
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(16 * 2**20)
    formatted = (
        subprocess.run(["mkfs.ext4", "-q", "-F", image], capture_output=True, check=False).returncode == 0
    )
    if (
        not formatted
        or subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True).returncode
    ):
        pytest.skip("file systems can't be mounted here")

    def cut() -> None:
        subprocess.run(["mount", "-o", "remount,abort", folder], check=True)
        subprocess.run(["umount", folder], check=True)
        subprocess.run(["mount", "-o", "loop", image, folder], check=True)

    yield folder, cut
    subprocess.run(["umount", folder], check=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_synced_files_survive_a_power_cut(disk):
    folder, cut = disk
    (folder / "kept").write_text("weights")
    settle_files(folder)
    (folder / "lost").write_text("not yet")
    cut()
    assert (folder / "kept").read_text() == "weights"
    assert not (folder / "lost").exists() or (folder / "lost").read_text() == ""


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(OSError, match="nothing"):
        settle_files(tmp_path / "nothing")


def test_only_urls_of_this_machine_have_a_folder(tmp_path):
    assert folder_of((tmp_path / "a b").as_uri()) == tmp_path / "a b"
    assert folder_of("s3://bucket/folder") is None
    assert folder_of("mlflow-artifacts:/1") is None


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = write_whole(tmp_path / "weights", b"old")
    with replaced(path) as new:
        new.write_bytes(b"ne")
        assert path.read_bytes() == b"old"
        new.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_only_the_old_file(tmp_path):
    path = write_whole(tmp_path / "weights", b"old")

    def write() -> None:
        with replaced(path) as new:
            new.write_bytes(b"ne")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
