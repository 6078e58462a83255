"""A dataset's pictures are the registered ones wherever they lie: changed files are named, moved ones cost nothing."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sqlalchemy import Engine, text

from flows.cli import main
from xray.data.caches import caches, prune, verify_caches
from xray.data.pictures import pixel_cache
from xray.data.places import take_places
from xray.data.prepare import register_request
from xray.data.registered import RegisteredDataset, read_named
from xray.data.request import DatasetRequest
from xray.errors import DataError
from xray.pixels import cache as cache_module

SIZE, N = 16, 24


def draw(folder: Path, *, negative: bool = False) -> Path:
    """24 pictures and their manifest; its path."""
    (folder / "img").mkdir(parents=True, exist_ok=True)
    for number in range(N):
        picture = np.random.default_rng(number).integers(0, 120, (48, 48)).astype(np.uint8)
        Image.fromarray(255 - picture if negative else picture).save(
            folder / f"img/{number:02}.png", compress_level=0
        )
    rows = [[f"k{n}", f"p{n}", f"img/{n:02}.png", "PA", 50, "F", n % 2] for n in range(N)]
    columns = ["image_id", "patient_id", "path", "view", "age", "sex", "Mass"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "labels.csv", index=False)
    return folder / "labels.csv"


@pytest.fixture
def add(engine: Engine, home: Path):
    """Registers the manifest of a folder: its notes."""

    def register(folder: Path, name: str = "a", **options) -> list[str]:
        request = DatasetRequest(name, "a", "manifest", folder / "labels.csv", None, None)
        return register_request(engine, request, "corrected", home=home, **options).notes

    return register


@pytest.fixture
def read(engine: Engine):
    def dataset(name: str = "a") -> RegisteredDataset:
        with engine.begin() as connection:
            return read_named(connection, name)

    return dataset


def test_replaced_pictures_are_named_and_nothing_is_lost(add, read, home, tmp_path):
    """A re-export with another window: same names, same sizes, even the same time of change."""
    draw(tmp_path / "data")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "data/img").iterdir()}
    add(tmp_path / "data")
    draw(tmp_path / "data", negative=True)
    for path, time in times.items():
        os.utime(path, ns=(time, time))
    with pytest.raises(
        DataError,
        match=r"^a: 24 of 24 picture\(s\) can't be used: .*00.png: changed since it was",
    ):
        pixel_cache(read(), home, SIZE, "centre")
    assert not [path for path in (home / "pixels").iterdir() if path.suffix != ".partial"]
    with pytest.raises(
        DataError, match=r"a: 24 of 24 picture\(s\) changed since they were registered, first .*00.png"
    ):
        add(tmp_path / "data", look_again=True)
    draw(tmp_path / "data")
    cache = pixel_cache(read(), home, SIZE, "centre")
    assert 55 < cache.pixels.mean() < 63
    assert add(tmp_path / "data", look_again=True) == []


def test_one_picture_that_changes_between_two_sizes_is_named(add, read, home, tmp_path):
    draw(tmp_path / "data")
    add(tmp_path / "data")
    pixel_cache(read(), home, SIZE, "centre")
    (tmp_path / "data/img/05.png").write_bytes((tmp_path / "data/img/06.png").read_bytes())
    (tmp_path / "data/img/07.png").unlink()
    with pytest.raises(
        DataError, match=r"2 of 24 .*05.png: changed .*07.png: No such file.*put the registered files back"
    ):
        pixel_cache(read(), home, 2 * SIZE, "centre")
    assert len(pixel_cache(read(), home, SIZE, "centre")) == N


def test_registering_a_moved_folder_prepares_nothing_again(add, read, home, tmp_path, monkeypatch):
    draw(tmp_path / "data")
    add(tmp_path / "data")
    before = pixel_cache(read(), home, SIZE, "centre")
    (tmp_path / "data").rename(tmp_path / "new disk")
    decode = cache_module.read_grey
    monkeypatch.setattr(cache_module, "read_grey", lambda path: pytest.fail(f"{path} was decoded"))
    assert pixel_cache(read(), home, SIZE, "centre").folder == before.folder  # not even asked for
    assert add(tmp_path / "new disk") == [f"24 picture(s) are read from {tmp_path / 'new disk'} from now on"]
    assert add(tmp_path / "new disk") == []
    assert pixel_cache(read(), home, SIZE, "centre").folder == before.folder
    assert set(read().table.rows["path"].str.rpartition("/")[0]) == {f"{tmp_path}/new disk/img"}
    monkeypatch.setattr(cache_module, "read_grey", decode)
    assert len(pixel_cache(read(), home, 2 * SIZE, "centre")) == N


def test_a_picture_missing_from_the_new_folder_keeps_its_old_path(engine, add, read, home, tmp_path):
    draw(tmp_path / "data")
    add(tmp_path / "data")
    draw(tmp_path / "copy")
    (tmp_path / "copy/img/03.png").unlink()
    rows = pd.DataFrame({"image": [f"k{n}" for n in range(N)], "path": [f"img/{n:02}.png" for n in range(N)]})
    with engine.begin() as connection:
        assert take_places(connection, read().id, "a", rows, tmp_path / "copy", home) == N - 1
    paths = read().table.rows["path"]
    assert (paths[2], paths[3]) == (f"{tmp_path}/copy/img/02.png", f"{tmp_path}/data/img/03.png")


def test_the_same_pictures_under_two_names_are_prepared_once(add, read, home, tmp_path):
    draw(tmp_path / "data")
    draw(tmp_path / "copy")
    add(tmp_path / "data")
    add(tmp_path / "copy", "b")
    assert (
        pixel_cache(read("a"), home, SIZE, "centre").folder
        == pixel_cache(read("b"), home, SIZE, "centre").folder
    )
    assert len(list((home / "pixels").iterdir())) == 1


def test_paths_of_pictures_in_the_home_are_relative_to_it(add, read, home):
    draw(home / "my pictures")
    add(home / "my pictures")
    assert read().table.rows["path"][0] == "my pictures/img/00.png"
    home.rename(home.with_name("elsewhere"))
    assert len(pixel_cache(read(), home.with_name("elsewhere"), SIZE, "centre")) == N


def test_a_cache_of_an_earlier_format_is_replaced(add, read, home, tmp_path):
    draw(tmp_path / "data")
    add(tmp_path / "data")
    earlier = home / "pixels" / f"a-{read().id}-{SIZE}-centre"
    earlier.mkdir(parents=True)
    (earlier / "pixels.raw").write_bytes(bytes(N * SIZE**2))
    header = {
        "preprocessing": 1,
        "n": N,
        "size": SIZE,
        "crop": "centre",
        "dtype": "uint8",
        "paths": "",
        "failed": [],
    }
    (earlier / "header.json").write_text(json.dumps(header))
    cache = pixel_cache(read(), home, SIZE, "centre")
    assert cache.pixels.any()
    assert not earlier.exists()


@pytest.fixture
def of_a_home(add, read, home, database, tmp_path, monkeypatch, capsys):
    """`xray` on a home with two caches of one dataset."""
    draw(tmp_path / "data")
    add(tmp_path / "data")
    for size in (SIZE, 2 * SIZE):
        pixel_cache(read(), home, size, "centre")
    monkeypatch.setenv("XRAY_HOME", str(home))
    monkeypatch.setenv("XRAY_DATABASE_URL", database.replace("+psycopg2", ""))

    def run(*arguments: str) -> tuple[int, list[str], str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out.splitlines(), printed.err

    return run


def flip(file: Path, *places: int) -> None:
    data = bytearray(file.read_bytes())
    for offset in places:
        data[offset] ^= 4
    file.write_bytes(data)


def test_verify_names_a_damaged_picture_and_the_next_reading_repairs_it(of_a_home, read, home, caplog):
    assert of_a_home("cache", "verify") == (0, [], "48 pictures read, no faults\n")
    folder = pixel_cache(read(), home, SIZE, "centre").folder
    before = (folder / "pixels.raw").read_bytes()
    flip(folder / "pixels.raw", 5 * 256 + 3, 9 * 256)
    code, lines, message = of_a_home("cache", "verify")
    assert (code, message) == (1, "48 pictures read, 2 faults\n")
    assert lines == [
        f"{folder.name}: picture 5 of a (bytes 1280 to 1535 of pixels.raw)",
        f"{folder.name}: picture 9 of a (bytes 2304 to 2559 of pixels.raw)",
    ]
    code, lines, _ = of_a_home("cache", "verify", "--json")
    assert [json.loads(line)["cache"] for line in lines] == [folder.name] * 2
    with caplog.at_level(logging.WARNING):
        pixel_cache(read(), home, SIZE, "centre")[np.arange(N)]
    assert len(caplog.messages) == 1
    assert (folder / "pixels.raw").read_bytes() == before
    assert of_a_home("cache", "verify")[0] == 0
    (folder / "checksums.raw").unlink()
    code, (line,), _ = of_a_home("cache", "verify")
    assert code == 1
    assert "checksums.raw: expected 96 bytes" in line


def test_list_and_prune_distinguish_used_and_unused_caches(of_a_home, engine, read, home):
    code, lines, _ = of_a_home("cache", "list", "--json")
    rows = [json.loads(line) for line in lines]
    assert [(row["datasets"], row["images"], row["size"], row["state"]) for row in rows] == [
        (["a"], 24, 16, "whole"),
        (["a"], 24, 32, "whole"),
    ]
    assert all(row["bytes"] > row["images"] * row["size"] ** 2 for row in rows)
    root = home / "pixels"
    (root / "notes of mine").mkdir()
    (root / "notes of mine" / "a.txt").write_text("kept")
    (root / "b-2-16-centre").mkdir()
    (root / "b-2-16-centre" / "pixels.raw").write_bytes(bytes(1000))
    assert of_a_home("cache", "prune") == (
        0,
        of_a_home("cache", "prune")[1],
        "1,000 bytes would be removed: xray cache prune --yes\n",
    )
    assert (root / "b-2-16-centre").exists()
    code, lines, message = of_a_home("cache", "prune", "--yes", "--json")
    assert (code, message) == (0, "removed: 1,000 bytes\n")
    assert [json.loads(line)["cache"] for line in lines] == ["b-2-16-centre"]
    assert sorted(path.name for path in root.iterdir())[-1] == "notes of mine"
    assert len(list(root.iterdir())) == 3
    with engine.begin() as connection:
        connection.execute(text("update image set content_hash = 'another' where name = 'k3'"))
    assert len(of_a_home("cache", "prune", "--yes", "--json")[1]) == 2
    assert [path.name for path in root.iterdir()] == ["notes of mine"]


def test_a_cache_that_is_being_built_is_not_pruned(engine, home):
    import fcntl

    partial = home / "pixels" / "16-centre-abc.partial"
    partial.mkdir(parents=True)
    with (partial / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with engine.begin() as connection:
            (result,) = caches(connection, home)
            assert list(verify_caches(connection, home)) == []
        assert (result.state, result.is_used) == ("unfinished", False)
        assert not prune(result)
        assert partial.exists()
    assert prune(result)
    assert not partial.exists()
