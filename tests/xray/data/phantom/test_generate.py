import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xray import progress
from xray.data.phantom import generate
from xray.data.phantom.generate import draw_site, write_site
from xray.data.phantom.sites import FINDINGS, PHANTOM_TASKS, load_sites
from xray.errors import DataError

SITES = load_sites()


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_drawing_repeats_and_does_not_change_when_patients_are_added():
    few = draw_site(SITES["bravo"], patients=15, size=32, seed=2)
    more = draw_site(SITES["bravo"], patients=40, size=32, seed=2)
    same = len(few.pixels)
    np.testing.assert_array_equal(few.pixels, more.pixels[:same])
    np.testing.assert_array_equal(few.labels, more.labels[:same])
    assert few.image_ids == more.image_ids[:same]
    some = draw_site(SITES["bravo"], patients=range(10, 15), size=32, seed=2)
    np.testing.assert_array_equal(some.pixels, few.pixels[few.cases.patient >= 10])


def test_another_seed_or_name_draws_other_patients():
    alpha = draw_site(SITES["alpha"], patients=10, size=32, seed=0)
    for other in (
        draw_site(SITES["alpha"], patients=10, size=32, seed=1),
        draw_site(replace(SITES["alpha"], name="omega"), patients=10, size=32, seed=0),
    ):
        assert not np.array_equal(alpha.cases.body.thorax[:10], other.cases.body.thorax[:10])
    assert np.unique(alpha.pixels.reshape(len(alpha.pixels), -1), axis=0).shape[0] == len(alpha.pixels)


def test_a_site_of_other_images_has_the_same_truth_and_labels():
    alpha = SITES["alpha"]
    for images in (SITES["bravo"].images, SITES["charlie"].images):
        first = draw_site(alpha, patients=30, size=32, seed=0)
        second = draw_site(replace(alpha, images=images), patients=30, size=32, seed=0)
        np.testing.assert_array_equal(first.cases.present, second.cases.present)
        np.testing.assert_array_equal(first.cases.size, second.cases.size)
        np.testing.assert_array_equal(first.labels, second.labels)
        assert not np.array_equal(first.pixels, second.pixels)


def test_a_site_of_other_labels_has_the_same_pictures():
    alpha = SITES["alpha"]
    first = draw_site(alpha, patients=30, size=32, seed=0)
    second = draw_site(replace(alpha, labelling=SITES["delta"].labelling), patients=30, size=32, seed=0)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    differs = (first.labels != second.labels).any(axis=0)
    assert [task for task, other in zip(PHANTOM_TASKS, differs, strict=True) if other] == [
        "Infiltration",
        "Emphysema",
        "Mass",
    ]


def test_another_prevalence_changes_no_picture_without_that_finding():
    alpha = SITES["alpha"]
    first = draw_site(alpha, patients=40, size=32, seed=0)
    second = draw_site(replace(alpha, prevalence={"Effusion": 0.6}), patients=40, size=32, seed=0)
    changed = (first.pixels != second.pixels).any(axis=(1, 2))
    effusion = FINDINGS.index("Effusion")
    np.testing.assert_array_equal(
        changed, first.cases.present[:, effusion] != second.cases.present[:, effusion]
    )
    assert 0 < changed.sum() < len(changed)


def test_only_antero_posterior_pictures_show_a_magnified_heart():
    alpha = replace(SITES["alpha"], images=replace(SITES["alpha"].images, ap_fraction=0.5))
    plain = replace(alpha, images=replace(alpha.images, heart_magnification=1.0))
    first = draw_site(alpha, patients=40, size=32, seed=0)
    second = draw_site(plain, patients=40, size=32, seed=0)
    np.testing.assert_array_equal((first.pixels != second.pixels).any(axis=(1, 2)), first.antero_posterior)


def test_files_hold_the_drawn_pictures_and_labels(tmp_path):
    site = SITES["charlie"]
    labels = write_site(site, tmp_path / "charlie", patients=70, size=32, seed=5)
    site_drawn = draw_site(site, patients=70, size=32, seed=5)
    assert labels == tmp_path / "charlie" / "labels.csv"
    manifest, truth = rows_of(labels), rows_of(labels.with_name("truth.csv"))
    tasks = [task for task in PHANTOM_TASKS if task != "Nodule"]
    assert list(manifest[0]) == ["image_id", "patient_id", "path", "view", "age", "sex", *tasks]
    assert [row["image_id"] for row in manifest] == site_drawn.image_ids
    assert [row["patient_id"] for row in manifest] == site_drawn.patient_ids
    assert [row["view"] == "AP" for row in manifest] == site_drawn.antero_posterior.tolist()
    assert [row["sex"] == "F" for row in manifest] == site_drawn.cases.female.tolist()
    assert [int(row["age"]) for row in manifest] == site_drawn.cases.age.tolist()
    for task in tasks:
        expected = site_drawn.labels[:, PHANTOM_TASKS.index(task)]
        assert [float(row[task]) for row in manifest] == expected.tolist()
    for row, pixels in zip(manifest, site_drawn.pixels, strict=True):
        with Image.open(labels.parent / row["path"]) as picture:
            assert picture.mode == "L"
            np.testing.assert_array_equal(np.asarray(picture), pixels)
    assert len(list((labels.parent / "images").iterdir())) == len(manifest)
    assert list(truth[0]) == ["image_id", "task", "present", "size"]
    assert [row["task"] for row in truth] == [*FINDINGS] * len(manifest)
    np.testing.assert_array_equal([int(row["present"]) for row in truth], site_drawn.cases.present.ravel())
    np.testing.assert_allclose(
        [float(row["size"]) for row in truth], site_drawn.cases.size.ravel(), atol=5.1e-5
    )
    stored = json.loads((labels.parent / "phantom.json").read_text(encoding="utf-8"))
    assert stored["format"] == generate.FORMAT_VERSION
    assert (stored["site"]["name"], stored["patients"], stored["size"], stored["seed"]) == (
        "charlie",
        70,
        32,
        5,
    )


def test_a_second_writing_does_nothing(tmp_path, monkeypatch):
    labels = write_site(SITES["delta"], tmp_path / "a" / "delta", patients=4, size=32, seed=0)
    before = {file: file.stat().st_mtime_ns for file in labels.parent.rglob("*")}
    monkeypatch.setattr(generate, "draw_site", None)
    assert write_site(SITES["delta"], tmp_path / "a" / "delta", patients=4, size=32, seed=0) == labels
    assert {file: file.stat().st_mtime_ns for file in labels.parent.rglob("*")} == before
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["delta"]


def test_another_specification_is_refused(tmp_path):
    folder = tmp_path / "alpha"
    write_site(SITES["alpha"], folder, patients=4, size=32, seed=0)
    for other, key in [
        ({"patients": 5, "size": 32, "seed": 0}, "patients"),
        ({"patients": 4, "size": 48, "seed": 0}, "size"),
        ({"patients": 4, "size": 32, "seed": 1}, "seed"),
    ]:
        with pytest.raises(DataError, match=f"alpha: holds a phantom site with another {key};"):
            write_site(SITES["alpha"], folder, **other)
    with pytest.raises(DataError, match="with another site;"):
        write_site(SITES["bravo"], folder, patients=4, size=32, seed=0)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="holds no phantom site"):
        write_site(SITES["alpha"], tmp_path, patients=4, size=32, seed=0)
    with pytest.raises(DataError, match="holds no phantom site"):
        write_site(SITES["alpha"], tmp_path / "notes.txt", patients=4, size=32, seed=0)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    for content in ("[1, 2]", "{}", "no json"):
        (tmp_path / "phantom.json").write_text(content)
        with pytest.raises(DataError, match=r"phantom.json: isn't the specification"):
            write_site(SITES["alpha"], tmp_path, patients=4, size=32, seed=0)


def test_an_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(generate, "_truth_rows", fail)
        with pytest.raises(KeyboardInterrupt):
            write_site(SITES["alpha"], tmp_path / "alpha", patients=4, size=32, seed=0)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "alpha").mkdir()  # an empty folder is as good as none
    assert write_site(SITES["alpha"], tmp_path / "alpha", patients=4, size=32, seed=0).is_file()


@pytest.mark.parametrize("same", [True, False])
def test_the_second_of_two_writers_finds_the_same_site_or_is_refused(tmp_path, monkeypatch, same):
    folder, original = tmp_path / "alpha", generate._write

    def overtaken(*arguments: object) -> None:
        original(*arguments)
        monkeypatch.setattr(generate, "_write", original)
        write_site(SITES["alpha"], folder, patients=4, size=32, seed=0 if same else 1)

    monkeypatch.setattr(generate, "_write", overtaken)
    if same:
        write_site(SITES["alpha"], folder, patients=4, size=32, seed=0)
    else:
        with pytest.raises(DataError, match="another seed"):
            write_site(SITES["alpha"], folder, patients=4, size=32, seed=0)
    assert [file.name for file in tmp_path.iterdir()] == ["alpha"]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"patients": 0, "size": 32, "seed": 0}, "at least one patient"),
        ({"patients": 2, "size": 8, "seed": 0}, "at least 16 pixels, not 8"),
        ({"patients": 2, "size": 32, "seed": -1}, "must be 0 or more"),
    ],
)
def test_impossible_numbers_are_refused(tmp_path, numbers, message):
    with pytest.raises(DataError, match=message):
        draw_site(SITES["alpha"], **numbers)
    with pytest.raises(DataError, match=message):
        write_site(SITES["alpha"], tmp_path / "alpha", **numbers)
    assert list(tmp_path.iterdir()) == []


def test_progress_is_reported_on_request(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(progress, "LONG_SECONDS", -1.0)
    with caplog.at_level("INFO"):
        write_site(SITES["alpha"], tmp_path / "silent", patients=2, size=32, seed=0)
        assert caplog.text == ""
        write_site(SITES["alpha"], tmp_path / "loud", patients=2, size=32, seed=0, progress=True)
    assert "drawing patients of alpha: 2 in " in caplog.text
