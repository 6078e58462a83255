"""The cache: order, failures, refusal of what does not match, and builds that are killed or run twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xray.errors import ImageError
from xray.pixels import cache
from xray.pixels.cache import Failed, PixelCache, build
from xray.pixels.decode import read_grey
from xray.pixels.preprocess import prepare

ROOT = Path(__file__).resolve().parents[3]
BUILD = """
import sys, time
from pathlib import Path
from xray.pixels import cache
cache._CHUNK = 2
read = cache.read_grey
def slow(path):
    time.sleep(float(sys.argv[3]))
    print(path, flush=True)
    return read(path)
cache.read_grey = slow
built = cache.build(sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2]), size=16, workers=1)
print("built", len(built), flush=True)
"""


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = [folder / f"{i:02d}.png" for i in range(12)]
    for path in paths:
        height, width = rng.integers(20, 60, 2)
        Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8)).save(path)
    return paths


def start(pictures: Path, folder: Path, delay: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD, str(pictures), str(folder), str(delay)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("crop", ["centre", "none"])
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_rows_are_the_prepared_pictures_in_order(
    pictures: list[Path], tmp_path: Path, crop: str, kind: str
) -> None:
    paths = pictures[::-1] + pictures[:1]
    built = build(paths, tmp_path / "a" / "cache", size=24, crop=crop, dtype=kind, workers=3)  # type: ignore[arg-type]
    assert (len(built), built.size, built.crop, built.failed) == (13, 24, crop, ())
    assert built.pixels.dtype == kind
    assert built.ok.all()
    expected = [prepare(read_grey(path), 24, crop, kind) for path in paths]  # type: ignore[arg-type]
    np.testing.assert_array_equal(built.pixels, expected)
    with pytest.raises(ValueError, match="read-only"):
        built.pixels[0, 0, 0] = 1


def test_the_bytes_do_not_depend_on_workers_or_chunks(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(pictures, tmp_path / "a", size=16, workers=1)
    monkeypatch.setattr(cache, "_CHUNK", 5)
    build(pictures, tmp_path / "b", size=16, workers=4)
    for name in ("pixels.raw", "header.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["header.json", "pixels.raw"]
    assert not list(tmp_path.glob("*.partial"))


def test_failed_images_are_listed_and_zero(pictures: list[Path], tmp_path: Path) -> None:
    pictures[3].write_bytes(pictures[3].read_bytes()[:-30])
    paths = [*pictures, tmp_path / "missing.png"]
    for built in (build(paths, tmp_path / "cache", size=16), PixelCache.open(tmp_path / "cache")):
        assert [failure.index for failure in built.failed] == [3, 12]
        assert isinstance(built.failed[0], Failed)
        assert "03.png" in built.failed[0].reason
        assert "missing.png" in built.failed[1].reason
        assert built.ok.sum() == 11
        assert not built.pixels[[3, 12]].any()
        assert built.pixels[[2, 4]].any()


def test_no_pictures_make_an_empty_cache(tmp_path: Path) -> None:
    built = build([], tmp_path / "cache", size=16)
    assert (len(built), built.pixels.shape, built.ok.shape) == (0, (0, 16, 16), (0,))


def test_a_built_cache_is_opened_not_built_again(pictures: list[Path], tmp_path: Path) -> None:
    build(pictures, tmp_path / "cache", size=16)
    before = (tmp_path / "cache" / "pixels.raw").stat()
    again = build(pictures, tmp_path / "cache", size=16)
    after = (tmp_path / "cache" / "pixels.raw").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert len(again) == 12


def test_another_request_is_refused_and_says_why(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    build(pictures, folder, size=16)
    with pytest.raises(ImageError, match="size is 16, not 17"):
        build(pictures, folder, size=17)
    with pytest.raises(ImageError, match="crop is centre, not none"):
        build(pictures, folder, size=16, crop="none")
    with pytest.raises(ImageError, match="dtype is uint8, not uint16"):
        build(pictures, folder, size=16, dtype=np.uint16)
    with pytest.raises(ImageError, match="paths is"):
        build(pictures[::-1], folder, size=16)
    Image.new("L", (20, 21)).save(pictures[0])
    with pytest.raises(ImageError, match="paths is"):
        build(pictures, folder, size=16)
    monkeypatch.setattr(cache, "PREPROCESSING", -1)
    with pytest.raises(ImageError, match="preprocessing is"):
        build(pictures, folder, size=16)


def test_foreign_and_damaged_folders_are_refused(pictures: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="holds no pixel cache"):
        PixelCache.open(tmp_path / "nothing")
    with pytest.raises(ImageError, match="holds no pixel cache"):
        build(pictures, pictures[0].parent, size=16)
    with pytest.raises(ImageError, match="holds no pixel cache"):
        build(pictures, pictures[0], size=16)
    assert len(list(pictures[0].parent.iterdir())) == 12
    folder = tmp_path / "cache"
    build(pictures, folder, size=16)
    with (folder / "pixels.raw").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ImageError, match=f"expected {12 * 256} bytes"):
        PixelCache.open(folder)
    for text in ("{", "[]", "{}"):
        (folder / "header.json").write_text(text)
        with pytest.raises(ImageError, match="can't be read"):
            PixelCache.open(folder)


def test_arguments_that_make_no_sense_leave_nothing_behind(pictures: list[Path], tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    for wrong in ({"size": 0}, {"size": 8, "crop": "center"}, {"size": 8, "dtype": np.float32}):
        with pytest.raises(ValueError):
            build(pictures, tmp_path / "cache", **wrong)  # type: ignore[arg-type]
    assert sorted(tmp_path.iterdir()) == before


def test_a_killed_build_goes_on_where_it_was(pictures: list[Path], tmp_path: Path) -> None:
    whole = build(pictures, tmp_path / "whole", size=16)
    folder = tmp_path / "cache"
    process = start(pictures[0].parent, folder, 0.05)
    assert process.stdout is not None
    for _ in range(7):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not folder.exists()
    second = start(pictures[0].parent, folder, 0.0)
    out, _ = second.communicate(timeout=60)
    made_again = out.count(".png")
    assert 0 < made_again <= 6
    resumed = PixelCache.open(folder)
    np.testing.assert_array_equal(resumed.pixels, whole.pixels)


@pytest.mark.parametrize("tail", ['{"done": 4, "fai', '{"done": 4, "failed": []}', "[]", "null", ""])
def test_leftovers_of_any_kind_do_no_harm(pictures: list[Path], tmp_path: Path, tail: str) -> None:
    whole = build(pictures, tmp_path / "whole", size=16)
    request = {key: value for key, value in json.loads((tmp_path / "whole/header.json").read_text()).items()}
    del request["failed"]
    partial = tmp_path / "cache.partial"
    partial.mkdir()
    (partial / "pixels.raw").write_bytes(bytes(7))
    (partial / "progress.jsonl").write_text(json.dumps(request) + "\n" + tail)
    np.testing.assert_array_equal(build(pictures, tmp_path / "cache", size=16).pixels, whole.pixels)


def test_leftovers_of_another_request_are_not_used(pictures: list[Path], tmp_path: Path) -> None:
    process = start(pictures[0].parent, tmp_path / "cache", 0.05)
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    whole = build(pictures[::-1], tmp_path / "whole", size=16)
    np.testing.assert_array_equal(build(pictures[::-1], tmp_path / "cache", size=16).pixels, whole.pixels)


def test_two_builders_at_once_both_end_well(pictures: list[Path], tmp_path: Path) -> None:
    whole = build(pictures, tmp_path / "whole", size=16)
    begin = time.monotonic()
    both = [start(pictures[0].parent, tmp_path / "cache", 0.05) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all("built 12" in out for out in outputs)
    assert sum(out.count(".png") for out in outputs) == 12, (
        f"pictures made twice in {time.monotonic() - begin} s"
    )
    np.testing.assert_array_equal(PixelCache.open(tmp_path / "cache").pixels, whole.pixels)
