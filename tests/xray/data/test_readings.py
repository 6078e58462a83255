"""How pictures were read is counted, and a set whose files overstate their range is said and can be read rightly."""

import contextlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import Engine

from tests.xray.pixels.test_decode import dicom_file, smooth
from xray.data.picture_hashes import PictureCounts, PictureFacts, look
from xray.data.pictures import pixel_cache
from xray.data.prepare import prepare as prepare_dataset
from xray.data.prepare import register_request
from xray.data.register import Registration
from xray.data.registered import RegisteredDataset, read_named
from xray.data.request import DatasetRequest
from xray.errors import DataError
from xray.pixels import choices
from xray.pixels.decode import content_hash, read_grey
from xray.pixels.preprocess import prepare
from xray.pixels.reading import AS_STORED, Reading


def pictures(folder: Path, n: int = 4) -> Path:
    """n DICOM files that could hold 16 bits and hold 12, each with a window."""
    folder.mkdir(parents=True)
    rows = ["image_id,patient_id,path,Mass"]
    for i in range(n):
        values = smooth(40 + i, 40, 4095)
        window = {"WindowCenter": "1500", "WindowWidth": "2000"}
        kind = {"PhotometricInterpretation": "MONOCHROME1"} if i == 0 else {}
        dicom_file(folder / f"{i}.dcm", values, BitsStored=16, HighBit=15, **window, **kind)
        rows.append(f"{folder.name}{i},p{i},{i}.dcm,{i % 2}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def test_readings_recorded_by_an_earlier_version_are_checked_again(tmp_path: Path) -> None:
    draw = smooth(30, 40, 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(draw).save(tmp_path / "a.jpg", exif=exif)
    memory = tmp_path / "hashes.sqlite"
    with contextlib.closing(sqlite3.connect(memory)) as usable:
        usable.execute(
            "create table picture (path text primary key, size integer, changed integer, content_hash text)"
        )
        status = (tmp_path / "a.jpg").stat()
        row = (
            str((tmp_path / "a.jpg").resolve()),
            status.st_size,
            status.st_ctime_ns,
            "of the picture on its side",
        )
        usable.execute("insert into picture values (?, ?, ?, ?)", row)
        usable.commit()
    for _ in range(2):
        (reading,) = look(["a.jpg"], tmp_path, memory)
        assert isinstance(reading, PictureFacts)
        assert (reading.height, reading.width, reading.choices) == (40, 30, choices.ORIENTATION)
        assert reading.content_hash == content_hash(read_grey(tmp_path / "a.jpg").pixels)


def add(engine: Engine, home: Path, name: str, labels: Path, reading: Reading = AS_STORED) -> Registration:
    request = DatasetRequest(name, f"site-{name}", "manifest", labels, None, None, reading=reading)
    return register_request(engine, request, "corrected", home=home)


def test_a_study_reports_once_how_its_pictures_were_read(engine: Engine, tmp_path: Path) -> None:
    labels = pictures(tmp_path / "said", 12)
    with labels.open("a") as rows:
        rows.write("gone,p9,gone.dcm,1\n")
    request = DatasetRequest("said", "site-said", "manifest", labels, None, None)
    first, again = (prepare_dataset(engine, tmp_path, request, "corrected", None).news for _ in range(2))
    assert "1 of 12 pictures: MONOCHROME1: inverted" in first
    assert first[-1] == "1 row(s) or picture(s) set aside: xray dataset quarantine said"
    assert not again


def registered(engine: Engine, name: str) -> RegisteredDataset:
    with engine.begin() as connection:
        return read_named(connection, name)


def test_unusual_readings_are_counted(engine: Engine, tmp_path: Path) -> None:
    registration = add(engine, tmp_path, "counted", pictures(tmp_path / "a"))
    highest = max(int(smooth(40 + i, 40, 4095).max()) for i in (1, 2, 3))
    assert registration.pictures == PictureCounts(4, ((choices.MONOCHROME1, 1),), 3, highest, 65535)
    lines = registration.pictures.lines()
    assert lines[0] == "1 of 4 pictures: MONOCHROME1: inverted"
    assert (
        f"3 of 4 pictures use a sixteenth or less of their range (no value above {highest} of 65535)"
        in lines[1]
    )
    assert "--maximum 4095" in lines[1]


@pytest.mark.parametrize("reading", [Reading(maximum=65535), Reading(window=True)])
def test_the_reading_options_apply_to_the_prepared_pictures(
    engine: Engine, tmp_path: Path, reading: Reading
) -> None:
    name = (reading.text or "").split()[0]
    labels = pictures(tmp_path / name)
    registration = add(engine, tmp_path, name, labels, reading)
    dataset = registered(engine, name)
    assert (dataset.reading, registration.n_images) == (reading, 4)
    cache = pixel_cache(dataset, tmp_path, 32, "centre")
    for row in range(4):
        expected = prepare(read_grey(labels.parent / f"{row}.dcm", reading), 32)
        np.testing.assert_array_equal(cache[np.array([row])][0], expected)
    again = add(engine, tmp_path, name, labels, reading)
    assert again.unchanged
    with pytest.raises(DataError, match="registered with other content"):
        add(engine, tmp_path, name, labels)


def test_twelve_bit_pictures_in_sixteen_bit_files_are_scaled_by_their_maximum(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "png").mkdir()
    for i in range(4):
        Image.fromarray(smooth(40 + i, 40, 4095)).save(tmp_path / f"png/{i}.png")
    rows = ["image_id,patient_id,path,Mass", *[f"b{i},p{i},{i}.png,1" for i in range(4)]]
    (tmp_path / "png/labels.csv").write_text("\n".join(rows))
    dark = add(engine, tmp_path, "dark", tmp_path / "png/labels.csv")
    bright = add(engine, tmp_path, "bright", tmp_path / "png/labels.csv", Reading(maximum=4095))
    assert dark.pictures is not None
    assert bright.pictures is not None
    assert (dark.pictures.n_dark, bright.pictures.n_dark, bright.pictures.lines()) == (4, 0, [])
    means = [
        pixel_cache(registered(engine, name), tmp_path, 32, "centre")[np.arange(4)].mean()
        for name in ("dark", "bright")
    ]
    assert means[0] < 10 < 100 < means[1]


def test_eight_bit_pictures_in_sixteen_bit_files_are_refused_without_a_maximum(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "flat").mkdir()
    for i in range(4):
        Image.fromarray(smooth(40 + i, 40, 255)).save(tmp_path / f"flat/{i}.png")
    rows = ["image_id,patient_id,path,Mass", *[f"c{i},p{i},{i}.png,1" for i in range(4)]]
    (tmp_path / "flat/labels.csv").write_text("\n".join(rows))
    with pytest.raises(DataError, match="--maximum 255"):
        add(engine, tmp_path, "flat", tmp_path / "flat/labels.csv")
    assert add(engine, tmp_path, "flat", tmp_path / "flat/labels.csv", Reading(maximum=255)).n_images == 4
