"""The cache: order, content, damage, refusal of what does not match, and builds that are killed or run twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xray.errors import ImageError
from xray.pixels import cache, cache_files
from xray.pixels.batches import Batches
from xray.pixels.cache import PixelCache, build
from xray.pixels.cache_files import request_of
from xray.pixels.decode import content_hash, read_grey
from xray.pixels.grey import Decoded
from xray.pixels.pool import Pool
from xray.pixels.preprocess import prepare
from xray.pixels.reading import Reading

ROOT = Path(__file__).resolve().parents[3]
NAMES = ["checksums.raw", "header.json", "pixels.raw"]
BUILD = """
import sys, time
from pathlib import Path
from xray.pixels import cache
cache._CHUNK = 2
read = cache.read_grey
def slow(path, reading):
    time.sleep(float(sys.argv[3]))
    print(path, flush=True)
    return read(path, reading)
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
    assert (len(built), built.shape, built.dtype) == (13, (13, 24, 24), kind)
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
    for name in NAMES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == NAMES
    assert not list(tmp_path.glob("*.partial"))


def test_failed_pictures_are_named_and_only_they_are_built_next_time(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {path: path.read_bytes() for path in pictures}
    contents = [content_hash(read_grey(path).pixels) for path in pictures]
    for number in (1, 3, 5, 7):
        pictures[number].write_bytes(content[pictures[number]][:-30])
    pictures[9].unlink()
    with pytest.raises(
        ImageError, match=r"5 of 12 picture\(s\) can't be used: .*01.png.*03.png.*05.png.* and 2 more$"
    ):
        build(pictures, tmp_path / "cache", size=16, content=contents)
    assert not (tmp_path / "cache").exists()
    for path, data in content.items():
        path.write_bytes(data)
    read: list[Path] = []

    def reading(path: Path, options: Reading) -> Decoded:
        read.append(path)
        return read_grey(path, options)

    monkeypatch.setattr(cache, "read_grey", reading)
    built = build(pictures, tmp_path / "cache", size=16, content=contents)
    assert sorted(read) == [pictures[number] for number in (1, 3, 5, 7, 9)]
    np.testing.assert_array_equal(built.pixels, [prepare(read_grey(path), 16) for path in pictures])


def test_a_replaced_picture_is_never_used(pictures: list[Path], tmp_path: Path) -> None:
    """Of the same size in pixels and in bytes and with the old time of change: only its content tells."""
    contents = [content_hash(read_grey(path).pixels) for path in pictures]
    pixels = read_grey(pictures[4]).pixels
    status = pictures[4].stat()
    Image.fromarray(255 - pixels).save(pictures[4])
    os.utime(pictures[4], ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ImageError, match=r"1 of 12 .*04\.png: changed since it was registered"):
        build(pictures, tmp_path / "cache", size=16, content=contents)


def test_a_cache_is_found_by_content_wherever_the_files_are(pictures: list[Path], tmp_path: Path) -> None:
    contents = [content_hash(read_grey(path).pixels) for path in pictures]
    first = build(pictures, tmp_path / "cache", size=16, content=contents)
    pictures[0].parent.rename(tmp_path / "elsewhere")
    moved = [tmp_path / "elsewhere" / path.name for path in pictures]
    np.testing.assert_array_equal(
        build(moved, tmp_path / "cache", size=16, content=contents).pixels, first.pixels
    )
    nowhere = [Path("/nowhere") / path.name for path in pictures]
    np.testing.assert_array_equal(
        build(nowhere, tmp_path / "cache", size=16, content=contents).pixels, first.pixels
    )
    request = request_of(moved, contents, 16, "centre", np.dtype("u1"))
    assert request.name == request_of(nowhere, contents, 16, "centre", np.dtype("u1")).name
    names = {
        request_of(moved, contents[::-1], 16, "centre", np.dtype("u1")).name,
        request_of(moved, contents, 17, "centre", np.dtype("u1")).name,
        request_of(moved, contents, 16, "none", np.dtype("u1")).name,
        request_of(moved, contents, 16, "centre", np.dtype("u2")).name,
    }
    assert len(names | {request.name}) == 5


def flip(file: Path, *places: int) -> None:
    """Flip a bit in each of these bytes of a file."""
    with file.open("r+b") as stream:
        for position in places:
            stream.seek(position)
            (value,) = stream.read(1)
            stream.seek(position)
            stream.write(bytes([value ^ 16]))


READERS = {
    "indexing": lambda built: built[np.arange(12)],
    "pool": lambda built: Pool([built])[np.arange(12)],
    "batches": lambda built: next(iter(Batches(built, range(12), 12, 0, shuffle=False))).images,
    "batches of a pool": lambda built: (
        next(iter(Batches(Pool([built]), range(12), 12, 0, shuffle=False))).images
    ),
}


@pytest.mark.parametrize("reader", READERS)
def test_two_flipped_bytes_are_repaired_before_reading_and_reported_in_one_line(
    pictures: list[Path], tmp_path: Path, reader: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "cache"
    whole = build(pictures, folder, size=16)
    expected = np.array(READERS[reader](whole))
    before = {name: (folder / name).read_bytes() for name in NAMES}
    flip(folder / "pixels.raw", 3 * 256 + 17, 8 * 256)
    assert PixelCache.open(folder).damaged().tolist() == [3, 8]
    with pytest.raises(ImageError, match=r"2 picture\(s\) are damaged, first number 3"):
        READERS[reader](PixelCache.open(folder))
    np.testing.assert_array_equal(READERS[reader](build(pictures, folder, size=16)), expected)
    assert len(caplog.messages) == 1
    assert "2 damaged picture(s) made again, first" in caplog.text
    assert {name: (folder / name).read_bytes() for name in NAMES} == before
    assert not len(whole.damaged())


def test_a_damaged_picture_whose_file_is_gone_is_an_error_and_never_used(
    pictures: list[Path], tmp_path: Path
) -> None:
    build(pictures, tmp_path / "cache", size=16)
    flip(tmp_path / "cache" / "pixels.raw", 256)
    length = pictures[1].stat().st_size
    pictures[1].write_bytes(b"\0" * length)
    with pytest.raises(ImageError, match=r"picture 1 is damaged, and can't be made again: .*01\.png"):
        build(pictures, tmp_path / "cache", size=16)[np.arange(3)]
    assert build(pictures, tmp_path / "cache", size=16)[np.array([0, 2])].any()


def test_a_flipped_checksum_does_no_harm(pictures: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    whole = build(pictures, folder, size=16)
    expected, sums = np.array(whole.pixels), (folder / "checksums.raw").read_bytes()
    flip(folder / "checksums.raw", 5)
    np.testing.assert_array_equal(build(pictures, folder, size=16)[np.arange(12)], expected)
    assert (folder / "checksums.raw").read_bytes() == sums


def cut_pixels(folder: Path) -> None:
    with (folder / "pixels.raw").open("r+b") as file:
        file.truncate(100)


def change_header(folder: Path) -> None:
    header = folder / "header.json"
    header.write_text(header.read_text().replace('"n": 12', '"n": 11'))


def earlier_format(folder: Path) -> None:
    """As it was before there were checksums."""
    (folder / "checksums.raw").unlink()
    header = {
        "preprocessing": 1,
        "n": 12,
        "size": 16,
        "crop": "centre",
        "dtype": "uint8",
        "paths": "a",
        "failed": [],
    }
    (folder / "header.json").write_text(json.dumps(header))


DAMAGE = {
    "cut": cut_pixels,
    "no pixels": lambda folder: (folder / "pixels.raw").unlink(),
    "no checksums": lambda folder: (folder / "checksums.raw").unlink(),
    "no header": lambda folder: (folder / "header.json").unlink(),
    "half a header": lambda folder: (folder / "header.json").write_text("{"),
    "no object": lambda folder: (folder / "header.json").write_text("[]"),
    "empty header": lambda folder: (folder / "header.json").write_text("{}"),
    "changed header": change_header,
    "earlier format": earlier_format,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_older_cache_is_built_again(
    pictures: list[Path], tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "cache"
    build(pictures, folder, size=16)
    before = {name: (folder / name).read_bytes() for name in NAMES}
    (folder / "pixels.raw").write_bytes(bytes(12 * 256))
    DAMAGE[damage](folder)
    with pytest.raises(ImageError):
        PixelCache.open(folder)
    build(pictures, folder, size=16)
    assert {name: (folder / name).read_bytes() for name in NAMES} == before
    assert len(caplog.messages) == 1
    assert "built again" in caplog.text


def test_a_cache_of_no_pictures_is_empty(tmp_path: Path) -> None:
    built = build([], tmp_path / "cache", size=16)
    assert (len(built), built.shape, len(built.damaged())) == (0, (0, 16, 16), 0)


def test_a_built_cache_is_opened_and_not_built_again(pictures: list[Path], tmp_path: Path) -> None:
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
    with pytest.raises(ImageError, match="pictures is"):
        build(pictures[::-1], folder, size=16)
    Image.new("L", (20, 21)).save(pictures[0])
    with pytest.raises(ImageError, match="pictures is"):
        build(pictures, folder, size=16)
    monkeypatch.setattr(cache_files, "PREPROCESSING", -1)
    with pytest.raises(ImageError, match="preprocessing is"):
        build(pictures, folder, size=16)


def test_foreign_folders_are_refused_and_left_alone(pictures: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is not a pixel cache"):
        PixelCache.open(tmp_path / "nothing")
    with pytest.raises(ImageError, match="is not a pixel cache"):
        build(pictures, pictures[0].parent, size=16)
    with pytest.raises(ImageError, match="is not a pixel cache"):
        build(pictures, pictures[0], size=16)
    assert len(list(pictures[0].parent.iterdir())) == 12
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pixels.raw").write_bytes(b"x")
    (tmp_path / "mine" / "notes.txt").write_text("of a user")
    with pytest.raises(ImageError, match="is not a pixel cache"):
        build(pictures, tmp_path / "mine", size=16)
    assert len(list((tmp_path / "mine").iterdir())) == 2


def test_invalid_arguments_leave_nothing_behind(pictures: list[Path], tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    for wrong in ({"size": 0}, {"size": 8, "crop": "center"}, {"size": 8, "dtype": np.float32}):
        with pytest.raises(ValueError):
            build(pictures, tmp_path / "cache", **wrong)  # type: ignore[arg-type]
    assert sorted(tmp_path.iterdir()) == before


def test_a_killed_build_continues_where_it_stopped(pictures: list[Path], tmp_path: Path) -> None:
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


LEFTOVERS = {
    "short files": lambda partial: (partial / "pixels.raw").write_bytes(bytes(7)),
    "half a header": lambda partial: (partial / "header.json").write_text("{"),
    "no header": lambda partial: (partial / "header.json").unlink(),
    "torn picture": lambda partial: flip(partial / "pixels.raw", 3 * 256),
    "no sums": lambda partial: (partial / "checksums.raw").write_bytes(bytes(48)),
    "earlier format": earlier_format,
    "its progress": lambda partial: (partial / "progress.jsonl").write_text('{"n": 12}\n{"done": 4, "fai'),
}


@pytest.mark.parametrize("leftover", LEFTOVERS)
def test_leftovers_of_a_killed_build_do_no_harm(pictures: list[Path], tmp_path: Path, leftover: str) -> None:
    whole = build(pictures, tmp_path / "whole", size=16)
    shutil.copytree(tmp_path / "whole", tmp_path / "cache.partial")
    LEFTOVERS[leftover](tmp_path / "cache.partial")
    built = build(pictures, tmp_path / "cache", size=16)
    np.testing.assert_array_equal(built.pixels, whole.pixels)
    assert not len(built.damaged())
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == NAMES


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


def test_two_simultaneous_builders_both_succeed(pictures: list[Path], tmp_path: Path) -> None:
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
